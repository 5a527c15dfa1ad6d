// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"ocm/sign/timestamp/tsatest"
)

// Commands of scripts that start registries and put something into them.

// uploads is the key of a channel that is closed when a slow registry gets the first upload.
type uploads struct{}

// scriptRegistry starts an empty OCI registry and sets $REGISTRY, or another variable, to its
// host:port. A slow one takes its time for every upload:
//
//	registry [slow] [NAME]
func scriptRegistry(ts *testscript.TestScript, neg bool, args []string) {
	slow := slices.Contains(args, "slow")
	args = slices.DeleteFunc(args, func(s string) bool { return s == "slow" })
	if neg || len(args) > 1 {
		ts.Fatalf("usage: registry [slow] [NAME]")
	}
	handler := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem},
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	var served http.Handler = handler
	if slow {
		served = slowUploads(handler, ts.Value(uploads{}).(chan struct{}))
	}
	server := httptest.NewServer(served)
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
		ts.Check(handler.Close())
	})
	ts.Setenv(append(args, "REGISTRY")[0], strings.TrimPrefix(server.URL, "http://"))
}

// slowUploads holds every upload of a blob back for a while.
func slowUploads(next http.Handler, begun chan struct{}) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && strings.Contains(r.URL.Path, "/blobs/") {
			once.Do(func() { close(begun) })
			select {
			case <-time.After(300 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// scriptUploading waits for the first upload to a slow registry:
//
//	uploading
func scriptUploading(ts *testscript.TestScript, neg bool, args []string) {
	select {
	case <-ts.Value(uploads{}).(chan struct{}):
	case <-time.After(time.Minute):
		ts.Fatalf("nobody uploads anything")
	}
}

// scriptBadRegistry starts a server that answers everything with one status, as registries
// do, or with a web page, and sets $REGISTRY:
//
//	badregistry STATUS|html|silent|tls
func scriptBadRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: badregistry STATUS|html|silent|tls")
	}
	status, _ := strconv.Atoi(args[0])
	if args[0] == "tls" {
		status = http.StatusNotFound
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case args[0] == "silent":
			<-r.Context().Done()
			return
		case status == 0:
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html><body>Please log in to the hotel's network</body></html>")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "0")
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"errors":[{"code":"DENIED","message":"the registry\u001b[2J says no"}]}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if args[0] == "tls" {
		server.StartTLS()
	} else {
		server.Start()
	}
	ts.Defer(server.Close)
	ts.Setenv("REGISTRY", server.Listener.Addr().String())
}

// scriptAttach attaches a text to an image in a registry, and sets $ATTACHED to the digest of the manifest that does:
//
//	attach HOST:PORT/REPOSITORY@DIGEST TEXT
func scriptAttach(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: attach REFERENCE TEXT")
	}
	repo, err := remote.NewRepository(args[0])
	ts.Check(err)
	repo.PlainHTTP = true
	subject, err := repo.Resolve(context.Background(), repo.Reference.Reference)
	ts.Check(err)
	push := func(mediaType string, raw []byte) ociv1.Descriptor {
		d := content.NewDescriptorFromBytes(mediaType, raw)
		ts.Check(repo.Push(context.Background(), d, bytes.NewReader(raw)))
		return d
	}
	raw, err := json.Marshal(ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "application/spdx+json", Subject: &subject,
		Config: push(ociv1.DescriptorEmptyJSON.MediaType, ociv1.DescriptorEmptyJSON.Data), Layers: []ociv1.Descriptor{push("text/plain", []byte(args[1]))},
	})
	ts.Check(err)
	ts.Setenv("ATTACHED", push(ociv1.MediaTypeImageManifest, raw).Digest.String())
}

// scriptImage pushes a small image for two platforms, the same for the same text, and sets $IMAGE to its digest:
//
//	image HOST:PORT/REPOSITORY:TAG [TEXT]
func scriptImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: image REFERENCE [TEXT]")
	}
	repo, err := remote.NewRepository(args[0])
	ts.Check(err)
	repo.PlainHTTP = true
	push := func(mediaType string, raw []byte) ociv1.Descriptor {
		d := content.NewDescriptorFromBytes(mediaType, raw)
		ts.Check(repo.Push(context.Background(), d, bytes.NewReader(raw)))
		return d
	}
	pushJSON := func(mediaType string, v any) ociv1.Descriptor {
		raw, err := json.Marshal(v)
		ts.Check(err)
		return push(mediaType, raw)
	}
	index := ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		platform := ociv1.Platform{OS: "linux", Architecture: arch}
		m := pushJSON(ociv1.MediaTypeImageManifest, ociv1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
			Config: pushJSON(ociv1.MediaTypeImageConfig, ociv1.Image{Platform: platform}),
			Layers: []ociv1.Descriptor{push(ociv1.MediaTypeImageLayer, []byte("layer for "+arch+strings.Join(args[1:], "")))},
		})
		m.Platform = &platform
		index.Manifests = append(index.Manifests, m)
	}
	d := pushJSON(ociv1.MediaTypeImageIndex, index)
	ts.Check(repo.Tag(context.Background(), d, repo.Reference.Reference))
	ts.Setenv("IMAGE", d.Digest.String())
}

// scriptTSA writes the root certificate of a time stamping authority and sets $TSA to its URL:
//
//	tsa FILE
func scriptTSA(ts *testscript.TestScript, authority *tsatest.Authority, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tsa FILE")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Root.Cert.Raw})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
	ts.Setenv("TSA", authority.URL)
}
