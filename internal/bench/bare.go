// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// bare is the least that a client can do: it knows from an archive's index what there is, sends
// the requests that cannot be avoided, and hashes the bytes. It checks no descriptor, plans
// nothing, resumes nothing, retries nothing, and leaves flushing to the system.
type bare struct {
	client    http.Client
	base, ctf string
}

// bareMain is the program: bare push|pull|head -parallel N CTF http://host/v2/prefix [FOLDER].
func bareMain(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "bare: push, pull or head?")
		return 2
	}
	f := flag.NewFlagSet("bare", flag.ExitOnError)
	parallel := f.Int("parallel", 16, "versions at once")
	_ = f.Parse(args[1:]) // exits
	b := &bare{ctf: f.Arg(0), base: f.Arg(1)}
	b.client.Transport = &http.Transport{MaxIdleConnsPerHost: *parallel, DisableCompression: true}
	verb := map[string]func(artifact) error{"push": b.push, "pull": func(a artifact) error { return b.pull(a, f.Arg(2)) }, "head": b.head}[args[0]]
	if verb == nil {
		fmt.Fprintln(os.Stderr, "bare: push, pull or head?")
		return 2
	}
	if err := b.each(*parallel, verb); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		return 1
	}
	return 0
}

// artifact is an entry of an archive's index.
type artifact struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest"`
	MediaType  string `json:"mediaType"`
}

type artifactIndex struct {
	SchemaVersion int        `json:"schemaVersion"`
	Artifacts     []artifact `json:"artifacts"`
}

// each does one thing for every tagged artifact.
func (b *bare) each(parallel int, do func(artifact) error) error {
	text, err := os.ReadFile(filepath.Join(b.ctf, "artifact-index.json"))
	if err != nil {
		return err
	}
	var index artifactIndex
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	work := make(chan artifact)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for a := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := do(a); err != nil {
					cancel(fmt.Errorf("%s:%s: %w", a.Repository, a.Tag, err))
				}
			}
		})
	}
	for _, a := range index.Artifacts {
		if a.Tag != "" {
			work <- a
		}
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

func blobFile(ctf, digest string) string {
	return filepath.Join(ctf, "blobs", strings.Replace(digest, ":", ".", 1))
}

func (b *bare) url(a artifact, path string) string { return b.base + "/" + a.Repository + "/" + path }

// do sends one request and hands out the answer if it has the status that is expected.
func (b *bare) do(method, to, mediaType string, body io.Reader, size int64, status int) (*http.Response, error) {
	req, err := http.NewRequest(method, to, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", mediaType)
	} else {
		req.Header.Set("Accept", mediaType)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != status {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, to, resp.Status)
	}
	return resp, nil
}

// send is do for answers whose body nobody needs.
func (b *bare) send(method, to, mediaType string, body io.Reader, size int64, status int) (http.Header, error) {
	resp, err := b.do(method, to, mediaType, body, size, status)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header, err
}

func (b *bare) head(a artifact) error {
	_, err := b.send(http.MethodHead, b.url(a, "manifests/"+a.Tag), a.MediaType, nil, 0, http.StatusOK)
	return err
}

// blob is what a manifest says about one.
type blob struct {
	Digest string
	Data   []byte // the content itself, where the manifest has it
}

// blobs are what a manifest lists.
func blobs(manifest []byte) ([]blob, error) {
	var m struct {
		Config blob
		Layers []blob
	}
	err := json.Unmarshal(manifest, &m)
	return append(m.Layers, m.Config), err
}

func (b *bare) push(a artifact) error {
	_, err := b.send(http.MethodHead, b.url(a, "manifests/"+a.Tag), a.MediaType, nil, 0, http.StatusNotFound)
	if err != nil {
		return err
	}
	manifest, err := os.ReadFile(blobFile(b.ctf, a.Digest))
	if err != nil {
		return err
	}
	list, err := blobs(manifest)
	if err != nil {
		return err
	}
	for _, blob := range list {
		if err := b.pushBlob(a, blob.Digest); err != nil {
			return err
		}
	}
	_, err = b.send(http.MethodPut, b.url(a, "manifests/"+a.Tag), a.MediaType, bytes.NewReader(manifest), int64(len(manifest)), http.StatusCreated)
	return err
}

func (b *bare) pushBlob(a artifact, digest string) error {
	h, err := b.send(http.MethodPost, b.url(a, "blobs/uploads/"), "application/octet-stream", http.NoBody, 0, http.StatusAccepted)
	if err != nil {
		return err
	}
	to, err := url.Parse(h.Get("Location"))
	if err != nil {
		return err
	}
	q := to.Query()
	q.Set("digest", digest)
	to.RawQuery = q.Encode()
	f, err := os.Open(blobFile(b.ctf, digest))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	hash := sha256.New()
	body := io.NopCloser(io.TeeReader(f, hash))
	if _, err := b.send(http.MethodPut, to.String(), "application/octet-stream", body, info.Size(), http.StatusCreated); err != nil {
		return err
	}
	return same(digest, hash.Sum(nil))
}

func same(digest string, sum []byte) error {
	if found := fmt.Sprintf("sha256:%x", sum); found != digest {
		return fmt.Errorf("expected %s, found %s", digest, found)
	}
	return nil
}

func (b *bare) pull(a artifact, folder string) error {
	if err := os.MkdirAll(filepath.Join(folder, "blobs"), 0o755); err != nil {
		return err
	}
	if err := b.pullFile(b.url(a, "manifests/"+a.Tag), a.MediaType, blobFile(folder, a.Digest), a.Digest); err != nil {
		return err
	}
	manifest, err := os.ReadFile(blobFile(folder, a.Digest))
	if err != nil {
		return err
	}
	list, err := blobs(manifest)
	if err != nil {
		return err
	}
	for _, blob := range list {
		to := blobFile(folder, blob.Digest)
		if blob.Data != nil {
			err = save(bytes.NewReader(blob.Data), to, blob.Digest)
		} else {
			err = b.pullFile(b.url(a, "blobs/"+blob.Digest), "*/*", to, blob.Digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) pullFile(from, mediaType, to, digest string) error {
	resp, err := b.do(http.MethodGet, from, mediaType, nil, 0, http.StatusOK)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return save(resp.Body, to, digest)
}

func save(r io.Reader, to, digest string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, hash), r); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return same(digest, hash.Sum(nil))
}
