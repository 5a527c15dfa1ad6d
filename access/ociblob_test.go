// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/oci/remote"
)

// layered is a repository with one blob.
func layered(t testing.TB, url string, b []byte) ociv1.Descriptor {
	t.Helper()
	store := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "", remote.Options{}))
	return fixture.Must[ociv1.Descriptor](t)(store.Repo("team/app").Push(t.Context(), ociv1.Descriptor{MediaType: "application/octet-stream", Size: -1}, bytes.NewReader(b)))
}

func TestOCIBlob(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // more than is fetched at once
	for name, open := range map[string]func(testing.TB) string{"olareg": fixture.Registry, "docker-registry": fixture.DockerRegistry} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := open(t)
			d := layered(t, url, want)
			accesstest.Run(t, accesstest.Case{
				Method: access.OCIBlob, WantType: "application/x-layer", Want: want,
				Good: map[string]any{"ref": url + "/team/app", "digest": d.Digest, "size": d.Size, "mediaType": "application/x-layer", "more": 1},
				Missing: []map[string]any{
					{"ref": url + "/team/other"}, {"digest": "sha256:" + strings.Repeat("0", 64)},
				},
				Wrong: []map[string]any{
					{"ref": "no reference"}, {"ref": "https://user:secret@host/app"}, {"digest": "sha256:../../etc/passwd"}, {"digest": "md5:00"}, {"size": -1},
					{"mediaType": ociv1.MediaTypeImageManifest}, {"mediaType": ociv1.MediaTypeImageIndex},
				},
				Host:    func(at string) map[string]any { return map[string]any{"ref": "http://" + at + "/team/app"} },
				Secrets: []string{"secret"},
			})
		})
	}
}

// Opening costs nothing, and tells from where the blob can be mounted.
func TestOCIBlobIsCheap(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(srv.Close)
	raw := fmt.Sprintf(`{"type":"ociBlob","ref":"%s/team/app:ignored","digest":"sha256:%064d","size":3}`, srv.URL, 0)
	c, err := access.OCIBlob.Open(t.Context(), &ocm.Env{}, spec(t, raw))
	if err != nil || asked.Load() != 0 || !strings.HasSuffix(c.Origin, "/team/app") || c.Root.MediaType != "application/octet-stream" {
		t.Errorf("%+v, %v, %d requests", c, err, asked.Load())
	}
}

// A registry that delivers something else, or more, or less than was promised.
func TestOCIBlobThatDiffers(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	d := layered(t, url, []byte("content"))
	other := layered(t, url, []byte("c0ntent"))
	lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "c0ntent") // the client says what is wrong
	}))
	t.Cleanup(lying.Close)
	for name, raw := range map[string]string{
		"size":    fmt.Sprintf(`{"type":"ociBlob","ref":"%s/team/app","digest":%q,"size":%d}`, url, d.Digest, d.Size+1),
		"smaller": fmt.Sprintf(`{"type":"ociBlob","ref":"%s/team/app","digest":%q,"size":%d}`, url, other.Digest, d.Size-1),
		"digest":  fmt.Sprintf(`{"type":"ociBlob","ref":"%s/team/app","digest":%q,"size":%d}`, lying.URL, d.Digest, d.Size),
	} {
		c, err := access.OCIBlob.Open(t.Context(), &ocm.Env{}, spec(t, raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := blob.Check(t.Context(), c); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: expected ErrDigest, found %v", name, err)
		}
	}
}

// me are the credentials of one user, whose password is right or wrong.
type me string

func (m me) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret{"username": "me", "password": string(m)}, nil
}

// A registry that wants to know who we are.
func TestOCIBlobBehindALogin(t *testing.T) {
	t.Parallel()
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	open := httptest.NewServer(h)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { srv.Close(); open.Close(); h.Close() })
	d := layered(t, open.URL, []byte("content"))
	accesstest.Run(t, accesstest.Case{
		Method: access.OCIBlob, WantType: "application/octet-stream", Want: []byte("content"),
		Good: map[string]any{"ref": srv.URL + "/team/app", "digest": d.Digest, "size": d.Size},
		Env:  &ocm.Env{Credentials: me("right")}, Locked: &ocm.Env{Credentials: me("wr0ng")}, Secrets: []string{"wr0ng", "right"},
	})
}
