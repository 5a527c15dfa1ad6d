// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/peer"
	"ocm/oci"
	"ocm/web"
)

// meter counts and slows what is sent to a registry. It may take every request whole before it
// passes it on, as reverse proxies do, and cut uploads off.
type meter struct {
	http.Handler
	perSecond float64 // bytes; 0: as fast as it goes
	whole     bool
	cut       func(r *http.Request, total int64) bool

	bytes  atomic.Int64
	active atomic.Int64
	mu     sync.Mutex
	parts  []int64 // sizes of the bodies that came whole
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.active.Add(1)
	defer m.active.Add(-1)
	body := &metered{m: m, r: r, body: r.Body}
	r.Body = body
	if m.whole {
		raw, err := io.ReadAll(body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
	m.Handler.ServeHTTP(w, r)
	if body.broken.Load() {
		panic(http.ErrAbortHandler)
	}
	if n := body.n.Load(); n > 0 {
		m.mu.Lock()
		m.parts = append(m.parts, n)
		m.mu.Unlock()
	}
}

// metered is a body. A reverse proxy may read it a moment longer than its handler runs.
type metered struct {
	m    *meter
	r    *http.Request
	body io.ReadCloser

	n      atomic.Int64
	broken atomic.Bool
}

func (b *metered) Read(p []byte) (int, error) {
	if b.m.cut != nil && b.r.ContentLength > 0 && b.m.cut(b.r, b.m.bytes.Load()) {
		b.broken.Store(true)
		return 0, io.ErrUnexpectedEOF
	}
	p = p[:min(len(p), 64<<10)]
	n, err := b.body.Read(p)
	b.n.Add(int64(n))
	b.m.bytes.Add(int64(n))
	if b.m.perSecond > 0 {
		time.Sleep(time.Duration(float64(n) / b.m.perSecond * float64(time.Second)))
	}
	return n, err
}

func (b *metered) Close() error { return b.body.Close() }

// bigFile writes a file in which every MiB is another.
func bigFile(t *testing.T, size int64) (string, ociv1.Descriptor) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "content"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), &pattern{n: size})
	if err != nil || n != size {
		t.Fatal(n, err)
	}
	return f.Name(), ociv1.Descriptor{Digest: digest.NewDigest(digest.SHA256, h), Size: size}
}

// placeFile is what both processes do. Parts take about half a second.
func placeFile(ctx context.Context, env *ocm.Env, registry, name string, d ociv1.Descriptor) error {
	p := fast
	p.whole = time.Second
	s, err := Open(env, registry, "", Options{pace: &p})
	if err != nil {
		return err
	}
	_, err = s.Repo("a").(oci.Placer).Place(ctx, d, nil, func(context.Context) (io.ReadCloser, error) { return os.Open(name) })
	return err
}

// TestUploadInAnotherProcess is the process that is killed.
func TestUploadInAnotherProcess(t *testing.T) {
	if os.Getenv("OCM_TEST_UPLOAD") == "" {
		t.Skip("started by TestKilledUploadIsContinued")
	}
	var size int64
	fmt.Sscan(os.Getenv("OCM_TEST_SIZE"), &size)
	d := ociv1.Descriptor{Digest: digest.Digest(os.Getenv("OCM_TEST_DIGEST")), Size: size}
	env := &ocm.Env{Cache: os.Getenv("OCM_TEST_CACHE")}
	if err := placeFile(t.Context(), env, os.Getenv("OCM_TEST_UPLOAD"), os.Getenv("OCM_TEST_FILE"), d); err != nil {
		t.Fatal(err)
	}
}

// A process is killed in the middle of an upload; the next one sends the rest.
func TestKilledUploadIsContinued(t *testing.T) {
	t.Parallel()
	size := int64(96 << 20)
	if os.Getenv("CI") == "true" {
		size = 200 << 20
	}
	for name, tt := range map[string]struct {
		meter *meter
		lost  int64 // bytes that may have to be sent twice
	}{
		"olareg":                         {&meter{Handler: olaregHandler(t), perSecond: 60e6}, 1 << 20},
		"docker-registry behind a proxy": {&meter{Handler: before(t, peer.DockerRegistry(t, "")).Handler, perSecond: 60e6, whole: true}, 48 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, d := bigFile(t, size)
			srv := serve(t, tt.meter)
			cache := t.TempDir()
			child := exec.Command(os.Args[0], "-test.run=^TestUploadInAnotherProcess$")
			child.Env = append(os.Environ(), "OCM_TEST_UPLOAD="+srv.URL, "OCM_TEST_CACHE="+cache, "OCM_TEST_FILE="+file, "OCM_TEST_DIGEST="+d.Digest.String(), fmt.Sprint("OCM_TEST_SIZE=", d.Size))
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- child.Wait() }()
			until(t, func() bool { return tt.meter.bytes.Load() > size*6/10 })
			child.Process.Kill()
			if err := <-ended; err == nil {
				t.Fatal("the process was faster than its end")
			}
			until(t, func() bool { return tt.meter.active.Load() == 0 })
			first := tt.meter.bytes.Swap(0)
			files, err := filepath.Glob(filepath.Join(cache, "uploads", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("expected one remembered upload, found %v, %v", files, err)
			}
			if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("expected a file for the user alone, found %v, %v", info, err)
			}
			job := ocm.NewJob(1)
			tt.meter.perSecond = 0
			if err := placeFile(t.Context(), &ocm.Env{Cache: cache, Job: job}, srv.URL, file, d); err != nil {
				t.Fatal(err)
			}
			second := tt.meter.bytes.Load()
			t.Logf("%d bytes were sent before, %d after", first, second)
			if first+second > size+tt.lost || second >= size-leastPart {
				t.Errorf("of %d bytes %d were sent before and %d after", size, first, second)
			}
			if files, _ := filepath.Glob(filepath.Join(cache, "uploads", "*")); len(files) > 0 {
				t.Errorf("expected that what is done is forgotten, found %v", files)
			}
			if job.Stats.Retries.Load() == 0 {
				t.Error("expected the resume to be counted")
			}
			if err := verify(t, open(t, nil, srv.URL).Repo("a"), d); err != nil {
				t.Error(err)
			}
		})
	}
}

// until polls, because what it waits for happens in another process.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it takes too long")
		}
	}
}

func verify(t *testing.T, r oci.Repo, d ociv1.Descriptor) error {
	t.Helper()
	rc, err := blob.Open(t.Context(), r, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(io.Discard, rc)
	return err
}

// Within one process a connection that breaks is continued too, without any folder.
func TestBrokenUploadIsContinued(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]struct {
		http.Handler
		most int64 // bytes in all, beyond the content
	}{"olareg": {olaregHandler(t), 4 << 20}, "docker-registry": {before(t, peer.DockerRegistry(t, "")).Handler, 41 << 20}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, d := bigFile(t, 90<<20)
			cuts := []int64{40 << 20, 60 << 20, 75 << 20}
			if name != "olareg" {
				cuts = cuts[:1] // it loses what it has
			}
			m := &meter{Handler: h, perSecond: 300e6}
			var mu sync.Mutex
			m.cut = func(_ *http.Request, total int64) bool {
				mu.Lock()
				defer mu.Unlock()
				if len(cuts) > 0 && total > cuts[0] {
					cuts = cuts[1:]
					return true
				}
				return false
			}
			srv := serve(t, m)
			job := ocm.NewJob(1)
			if err := placeFile(t.Context(), &ocm.Env{Job: job}, srv.URL, file, d); err != nil {
				t.Fatal(err)
			}
			if n := m.bytes.Load(); n > d.Size+h.most {
				t.Errorf("%d bytes were sent for %d", n, d.Size)
			}
			if job.Stats.Retries.Load() == 0 {
				t.Error("expected retries to be counted")
			}
			if err := verify(t, open(t, nil, srv.URL).Repo("a"), d); err != nil {
				t.Error(err)
			}
		})
	}
}

// A remembered upload that is of no use costs a question, and the blob is sent anew.
func TestUselessRememberedUpload(t *testing.T) {
	t.Parallel()
	file, d := bigFile(t, 20<<20)
	evil := answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	evilURL := serve(t, evil).URL
	for name, tt := range map[string]struct {
		location func(base string, r *repo) string
		change   func(*pendingUpload)
		asked    bool // whether the registry is asked for it
	}{
		"unknown": {location: func(base string, _ *repo) string { return base + "/v2/a/blobs/uploads/nobody-knows-me?state=e30" }, asked: true},
		"other content": {location: func(_ string, r *repo) string {
			other := bytes.Repeat([]byte("other"), 1<<20)
			req, _ := r.ask(t.Context(), http.MethodPost, "blobs/uploads/")
			u, err := r.step(req, http.StatusAccepted, nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := newOutgoing(bytes.NewReader(other), describe("", other), mark{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			u, err = r.patch(t.Context(), u, 3<<20, out)
			out.stop()
			if err != nil {
				t.Fatal(err)
			}
			return u.at.String()
		}, asked: true},
		"CVE-2026-50151 elsewhere": {location: func(string, *repo) string { return evilURL + "/v2/a/blobs/uploads/1" }},
		"not even an address":      {location: func(string, *repo) string { return "http://[::1" }},
		"old":                      {change: func(u *pendingUpload) { u.Time = time.Now().Add(-25 * time.Hour) }},
		"of the future":            {change: func(u *pendingUpload) { u.Time = time.Now().Add(25 * time.Hour) }},
		"other size":               {change: func(u *pendingUpload) { u.Of.Size++ }},
		"other repository":         {change: func(u *pendingUpload) { u.Of.Repository = "b" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &journal{Handler: olaregHandler(t)}
			srv := serve(t, j)
			env := &ocm.Env{Cache: t.TempDir()}
			r := open(t, env, srv.URL).Repo("a").(*repo)
			u := pendingUpload{Of: r.key(d), Location: srv.URL + "/v2/a/blobs/uploads/1", Time: time.Now()}
			if tt.location != nil {
				u.Location = tt.location(srv.URL, r)
			}
			if tt.change != nil {
				tt.change(&u)
			}
			raw, err := jsonv2.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}
			path := r.session.pending.path(r.key(d))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600)); err != nil {
				t.Fatal(err)
			}
			j.take()
			if err := placeFile(t.Context(), env, srv.URL, file, d); err != nil {
				t.Fatal(err)
			}
			if found := slices.Contains(methods(j.take()), "GET"); found != tt.asked {
				t.Errorf("asked for the upload: expected %v, found %v", tt.asked, found)
			}
			if err := verify(t, r, d); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("expected that it is forgotten")
			}
		})
	}
	t.Cleanup(func() { wantUntouched(t, evil) })
}

// What another process finished in the meantime is not sent.
func TestRememberedUploadOfWhatIsThere(t *testing.T) {
	t.Parallel()
	file, d := bigFile(t, 20<<20)
	j := &journal{Handler: olaregHandler(t)}
	srv := serve(t, j)
	env := &ocm.Env{Cache: t.TempDir()}
	if err := placeFile(t.Context(), env, srv.URL, file, d); err != nil {
		t.Fatal(err)
	}
	r := open(t, env, srv.URL).Repo("a").(*repo)
	at, _ := url.Parse(srv.URL + "/v2/a/blobs/uploads/1")
	r.session.pending.save(r.key(d), &upload{at: at})
	j.take()
	if err := placeFile(t.Context(), env, srv.URL, file, d); err != nil {
		t.Fatal(err)
	}
	if found := methods(j.take()); slices.Contains(found, "PUT") || slices.Contains(found, "PATCH") {
		t.Errorf("expected that nothing is sent, found %v", found)
	}
}

// Registries that take no parts, or only large ones.
func TestParts(t *testing.T) {
	t.Parallel()
	file, d := bigFile(t, 40<<20)
	n := 0
	for name, tt := range map[string]struct {
		fault func(w http.ResponseWriter, r *http.Request) bool
		ok    func(parts []int64) bool
	}{
		"405 for PATCH": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return false
			}
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}, func(parts []int64) bool { return parts[len(parts)-1] == d.Size }},
		"wrong range": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return false
			}
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", r.URL.String())
			w.Header().Set("Range", "0-17")
			w.WriteHeader(http.StatusAccepted)
			return true
		}, func(parts []int64) bool { return parts[len(parts)-1] == d.Size }},
		"least part": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("OCI-Chunk-Min-Length", fmt.Sprint(18<<20))
			return false
		}, func(parts []int64) bool {
			for _, p := range parts[:len(parts)-1] {
				if p < 18<<20 {
					return false
				}
			}
			return len(parts) > 1
		}},
		"least part is larger than the blob": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("OCI-Chunk-Min-Length", fmt.Sprint(1<<40))
			return false
		}, func(parts []int64) bool { return len(parts) == 1 && parts[0] == d.Size }},
		"no time": {func(http.ResponseWriter, *http.Request) bool { return false }, func(parts []int64) bool {
			return len(parts) > 1 && slices.Max(parts) <= firstPart && parts[0] == firstPart
		}},
		"the session is lost once": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch || r.Header.Get("Content-Range")[0] == '0' {
				return false
			}
			if n++; n > 1 {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			return true
		}, func(parts []int64) bool { return len(parts) > 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &meter{Handler: faulty{olaregHandler(t), tt.fault}}
			srv := serve(t, m)
			r := open(t, nil, srv.URL, func(o *Options) { o.pace.whole = time.Millisecond }).Repo("a")
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := r.Push(t.Context(), d, f); err != nil {
				t.Fatal(err)
			}
			if !tt.ok(m.parts) {
				t.Errorf("found parts of %v bytes", m.parts)
			}
			if err := verify(t, r, d); err != nil {
				t.Error(err)
			}
		})
	}
}

// A token that expires during an upload is replaced, and the upload goes on.
func TestTokenExpiresDuringUpload(t *testing.T) {
	t.Parallel()
	file, d := bigFile(t, 40<<20)
	service := newTokenService(t)
	var once sync.Once
	guarded := service.guard(olaregHandler(t))
	m := &meter{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && !strings.HasPrefix(r.Header.Get("Content-Range"), "0-") {
			once.Do(func() {
				service.mu.Lock()
				clear(service.issued)
				service.issued["nobody's"] = "" // so that the next token is another one
				service.mu.Unlock()
			})
		}
		guarded.ServeHTTP(w, r)
	})}
	r := open(t, &ocm.Env{Credentials: &secrets{secret: alice}}, serve(t, m).URL, func(o *Options) { o.pace.whole = time.Millisecond }).Repo("a")
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := r.Push(t.Context(), d, f); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, r, d); err != nil {
		t.Error(err)
	}
	if n := m.bytes.Load(); n > d.Size+16<<20 {
		t.Errorf("%d bytes were sent for %d", n, d.Size)
	}
}

func FuzzPendingUpload(f *testing.F) {
	k := pendingKey{Registry: "https://registry.example.org", Repository: "a", Digest: digest.FromString("x"), Size: 20 << 20}
	origin, _ := url.Parse(k.Registry)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good, err := jsonv2.Marshal(pendingUpload{k, "https://registry.example.org/v2/a/blobs/uploads/1?_state=x", now})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := parsePending(good, k, origin, now); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("registry.example.org/v2"), []byte("evil.test/v2"), 1))
	f.Add(bytes.Replace(good, []byte("https://registry.example.org/v2"), []byte("https://u:p@registry.example.org/v2"), 1))
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		at, err := parsePending(raw, k, origin, now)
		if err == nil && (at == nil || !web.SameOrigin(at, origin) || at.User != nil) {
			t.Errorf("found %v", at)
		}
		if err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("found %v", err)
		}
	})
}
