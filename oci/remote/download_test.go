// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/peer"
	"ocm/oci"
	"ocm/web"
)

// ranges lists the Range headers that arrived.
func (j *journal) ranges() (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.seen {
		found = append(found, r.Header.Get("Range"))
	}
	j.seen = nil
	return found
}

// letters is content in which every place can be told.
func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i/1000+i)%23)
	}
	return b
}

func fetch(t *testing.T, r oci.Repo, d ociv1.Descriptor) io.ReadSeekCloser {
	t.Helper()
	rc, err := r.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rc.Close() })
	return rc.(io.ReadSeekCloser)
}

func TestSeekBeforeReadIsOneRequest(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]*journal{"olareg": {Handler: olaregHandler(t)}, "docker-registry": before(t, peer.DockerRegistry(t, ""))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, nil, serve(t, j).URL).Repo("a")
			content := letters(3 * web.SmallDownload)
			d, err := r.Push(t.Context(), describe("", content), bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int64{0, 1, 2*web.SmallDownload + 7, d.Size - 1, d.Size} {
				j.ranges()
				rc := fetch(t, r, d)
				if n, err := rc.Seek(at, io.SeekStart); n != at || err != nil {
					t.Fatalf("seek: found %d, %v", n, err)
				}
				got, err := io.ReadAll(rc)
				want := []string{fmt.Sprintf("bytes=%d-", at)}
				switch at {
				case 0:
					want = []string{""}
				case d.Size:
					want = nil // there is nothing to ask for
				}
				if found := j.ranges(); err != nil || !bytes.Equal(got, content[at:]) || !slices.Equal(found, want) {
					t.Errorf("from %d: found %d bytes, %v with ranges %q", at, len(got), err, found)
				}
			}
			// To and fro, and at last the whole.
			rc := fetch(t, r, d)
			for _, at := range []int64{5, 100, 2 * web.SmallDownload, 3} {
				if _, err := rc.Seek(at, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 10)
				if _, err := io.ReadFull(rc, got); err != nil || !bytes.Equal(got, content[at:at+10]) {
					t.Errorf("at %d: found %q, %v", at, got, err)
				}
			}
			if n, err := rc.Seek(-3, io.SeekEnd); n != d.Size-3 || err != nil {
				t.Errorf("found %d, %v", n, err)
			}
			if _, err := rc.Seek(-1, io.SeekStart); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("expected a refusal, found %v", err)
			}
			missing := ociv1.Descriptor{Digest: digest.FromString("missing"), Size: 2 * web.SmallDownload}
			_, err = io.ReadAll(fetch(t, r, missing))
			wantErr(t, err, ocm.ErrNotFound)
			missing.Size = 7
			_, err = r.Fetch(t.Context(), missing)
			wantErr(t, err, ocm.ErrNotFound)
		})
	}
}

// A registry that knows no ranges, or answers with another one than it was asked for.
func TestSeekWithoutRanges(t *testing.T) {
	t.Parallel()
	content := letters(2 * web.SmallDownload)
	d := describe("", content)
	for name, tt := range map[string]struct {
		header string
		code   int
		want   error
	}{
		"200":           {"", 200, errors.ErrUnsupported},
		"other range":   {fmt.Sprintf("bytes 0-%d/%d", d.Size-1, d.Size), 206, ocm.ErrInvalid},
		"no range":      {"", 206, ocm.ErrInvalid},
		"other size":    {fmt.Sprintf("bytes 1000-%d/%d", d.Size, d.Size+1), 206, ocm.ErrDigest},
		"416":           {"", 416, nil},
		"nothing there": {"", 204, ocm.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.header != "" {
					w.Header().Set("Content-Range", tt.header)
				}
				w.WriteHeader(tt.code)
				if tt.code != 204 {
					w.Write(content)
				}
			}))
			rc := fetch(t, open(t, nil, srv.URL).Repo("a"), d)
			if _, err := rc.Seek(1000, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, rc)
			if err == nil || n > 0 || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("expected %v and no byte, found %v after %d", tt.want, err, n)
			}
		})
	}
}

// A link that drops again and again is no reason to give up as long as something comes through.
func TestDownloadThatBreaksOften(t *testing.T) {
	t.Parallel()
	content := letters(30 << 20)
	for name, tt := range map[string]struct {
		every int64 // bytes until a break
		ok    bool
	}{"each 2 MiB": {2 << 20, true}, "each 10 bytes": {10, false}, "at once": {0, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			h := olaregHandler(t)
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					requests.Add(1)
					w = &dropping{ResponseWriter: w, left: tt.every}
				}
				h.ServeHTTP(w, r)
			}))
			job := ocm.NewJob(1)
			r := open(t, &ocm.Env{Job: job}, srv.URL).Repo("a")
			d, err := r.Push(t.Context(), describe("", content), bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			got, err := blob.ReadAll(t.Context(), r, d, d.Size)
			if tt.ok && (err != nil || !bytes.Equal(got, content)) {
				t.Errorf("found %d bytes, %v", len(got), err)
			}
			if !tt.ok && err == nil {
				t.Error("expected an error")
			}
			if n := requests.Load(); tt.ok && n < 15 || !tt.ok && n > 40 {
				t.Errorf("found %d requests", n)
			}
			if n := job.Stats.Retries.Load(); n == 0 {
				t.Error("expected the resumes to be counted")
			}
		})
	}
}

// dropping ends the connection after some bytes.
type dropping struct {
	http.ResponseWriter
	left int64
}

func (b *dropping) Write(p []byte) (int, error) {
	if int64(len(p)) <= b.left {
		b.left -= int64(len(p))
		return b.ResponseWriter.Write(p)
	}
	b.ResponseWriter.Write(p[:b.left])
	if f, ok := b.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// A connection that dies without a word is replaced once.
func TestDownloadThatStalls(t *testing.T) {
	t.Parallel()
	content := letters(2 << 20)
	var n atomic.Int64
	h := olaregHandler(t)
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && n.Add(1) == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	}))
	r := open(t, nil, srv.URL, func(o *Options) { o.pace.Stall = 300 * time.Millisecond }).Repo("a")
	d, err := r.Push(t.Context(), describe("", content), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := blob.ReadAll(t.Context(), r, d, d.Size); err != nil || !bytes.Equal(got, content) {
		t.Errorf("found %d bytes, %v", len(got), err)
	}
}

// CVE-2021-41190: what the header says and what the document says must agree.
func TestCVE_2021_41190_ReadManifest(t *testing.T) {
	t.Parallel()
	asIndex := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q}`, ociv1.MediaTypeImageIndex)
	for name, tt := range map[string]struct {
		contentType, said, body string
		want                    error
	}{
		"right":          {ociv1.MediaTypeImageIndex, "", asIndex, nil},
		"other type":     {ociv1.MediaTypeImageManifest, "", asIndex, ocm.ErrInvalid},
		"no type":        {"application/json", "", asIndex, ocm.ErrInvalid},
		"no JSON":        {ociv1.MediaTypeImageManifest, "", "hello", ocm.ErrInvalid},
		"two types":      {ociv1.MediaTypeImageIndex, "", strings.Replace(asIndex, "{", fmt.Sprintf(`{"mediaType":%q,`, ociv1.MediaTypeImageManifest), 1), ocm.ErrInvalid},
		"other digest":   {ociv1.MediaTypeImageIndex, digest.FromString("x").String(), asIndex, ocm.ErrDigest},
		"sha512":         {ociv1.MediaTypeImageIndex, digest.SHA512.FromString(asIndex).String(), asIndex, nil},
		"other sha512":   {ociv1.MediaTypeImageIndex, digest.SHA512.FromString("x").String(), asIndex, ocm.ErrDigest},
		"bad digest":     {ociv1.MediaTypeImageIndex, "sha256:../x", asIndex, ocm.ErrInvalid},
		"schema 1":       {"application/vnd.docker.distribution.manifest.v1+prettyjws", "", "{}", errors.ErrUnsupported},
		"too large":      {ociv1.MediaTypeImageIndex, "", asIndex + strings.Repeat(" ", blob.MaxManifest), ocm.ErrLimit},
		"right and lied": {ociv1.MediaTypeImageIndex, digest.FromString(asIndex).String(), asIndex + " ", ocm.ErrDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				if tt.said != "" {
					w.Header().Set("Docker-Content-Digest", tt.said)
				}
				io.WriteString(w, tt.body)
			}))
			d, raw, err := open(t, nil, srv.URL).Repo("a").(oci.ManifestReader).ReadManifest(t.Context(), "1")
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("expected %v, found %v", tt.want, err)
			}
			if err == nil && (string(raw) != tt.body || d.Digest != digest.FromString(tt.body)) {
				t.Errorf("found %v, %s", d, raw)
			}
		})
	}
	// A pinned digest is a promise whatever the registry says.
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ociv1.MediaTypeImageIndex)
		io.WriteString(w, asIndex)
	}))
	r := open(t, nil, srv.URL).Repo("a").(oci.ManifestReader)
	if _, _, err := r.ReadManifest(t.Context(), digest.FromString(asIndex).String()); err != nil {
		t.Error(err)
	}
	_, _, err := r.ReadManifest(t.Context(), digest.FromString("other").String())
	wantErr(t, err, ocm.ErrDigest)
}

func FuzzUploadRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "0-9", "bytes=0-0", "0--1", "bytes 9-5/10", "bytes 0-9223372036854775807/9223372036854775807", "", "-", "bytes -/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if size, ok := parseUploadRange(s); ok && size < 0 || !ok && size != 0 {
			t.Errorf("%q: found %d, %v", s, size, ok)
		}
	})
}
