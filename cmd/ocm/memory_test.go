// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/ctf"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/remote"
)

// maxPeak is what a transfer may need of memory, in bytes, whatever it moves.
const maxPeak = 64 << 20

// One large blob, and many at once, in each direction: the memory of the process is bounded.
func TestMemoryOfTransfers(t *testing.T) {
	if _, err := os.ReadFile("/proc/self/status"); err != nil {
		t.Skip("the system does not tell what a process needs")
	}
	large, many := int64(32<<20), int64(1<<20)
	if long() {
		large, many = 256<<20, 8<<20
	}
	binary := build(t)
	for name, fill := range map[string]func(t *testing.T, r *heavy, repo ocm.Repository){
		"one large blob": func(t *testing.T, r *heavy, repo ocm.Repository) {
			writeVersion(t, repo, "acme.org/app", []ocm.Content{r.content(1, large)}, nil)
		},
		"64 versions": func(t *testing.T, r *heavy, repo ocm.Repository) {
			var parts []ocm.Reference
			for i := 63; i >= 0; i-- {
				var references []ocm.Reference
				if i == 0 {
					references = parts
				}
				d := writeVersion(t, repo, componentName(i), []ocm.Content{r.content(byte(i), many+int64(i))}, references)
				dg := fixture.Must[ocm.Digest](t)(normalise.Digest(d, ocm.SHA256, normalise.V3))
				parts = append(parts, ocm.Reference{Element: ocm.Element{Name: fmt.Sprint("part", i), Version: "1.0.0"}, ComponentName: d.Component.Name, Digest: &dg})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			source := newHeavy(t)
			env := &ocm.Env{Job: ocm.NewJob(4)}
			repo := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(env, source.url, "", remote.Options{})), env)
			fill(t, source, repo)
			dir := t.TempDir()
			folder := filepath.Join(dir, "folder")
			ways := [][2]string{
				{source.url, newHeavy(t).url}, {source.url, folder}, {folder, newHeavy(t).url}, {folder, filepath.Join(dir, "copy")},
			}
			if s, err := ctf.Open(filepath.Join(dir, "new.tar")); err == nil {
				s.Close()
				ways = append(ways, [2]string{source.url, filepath.Join(dir, "new.tar")}, [2]string{filepath.Join(dir, "new.tar"), newHeavy(t).url},
					[2]string{folder, filepath.Join(dir, "new.tgz")}, [2]string{filepath.Join(dir, "new.tgz"), newHeavy(t).url})
			}
			for _, way := range ways {
				peak, threads := peakOf(t, binary, "transfer", "cv", "-r", way[0]+"//acme.org/app:1.0.0", way[1])
				t.Logf("%s to %s: %d MiB, %d threads", way[0], way[1], peak>>20, threads)
				if peak > maxPeak {
					t.Errorf("%s to %s: expected at most %d MiB, found %d", way[0], way[1], maxPeak>>20, peak>>20)
				}
			}
		})
	}
}

// build makes the command as users have it: the race detector of a test would need a multiple of
// the memory.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ocm")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// peakOf runs a command that must succeed, and returns the most memory and threads that were seen.
func peakOf(t *testing.T, binary string, args ...string) (peak, threads int64) {
	t.Helper()
	var out bytes.Buffer
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home, "DOCKER_CONFIG=", "OCM_CONFIG=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%q: %v\n%s", args, err, &out)
			}
			return peak, threads
		case <-time.After(5 * time.Millisecond): // the system keeps the maximum: only what grows in the end is missed
			raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			for line := range strings.Lines(string(raw)) {
				fields := strings.Fields(line)
				if len(fields) < 2 {
					continue
				}
				n, _ := strconv.ParseInt(fields[1], 10, 64)
				switch fields[0] {
				case "VmHWM:":
					peak = max(peak, n<<10)
				case "Threads:":
					threads = max(threads, n)
				}
			}
		}
	}
}

// heavy is a registry that holds large blobs without having them: what it serves is made as it is
// read, what it gets is hashed and forgotten. Small content is kept.
type heavy struct {
	url string

	mu      sync.Mutex
	made    map[digest.Digest]fault.Bytes
	kept    map[string][]byte // by "repository digest" or "repository tag"
	types   map[digest.Digest]string
	seen    map[digest.Digest]int64 // what was received
	uploads map[string]*upload
}

// upload is one that has begun: the bytes before the PUT came by PATCH.
type upload struct {
	sum  digest.Digester
	n    int64
	head bytes.Buffer // as long as it is small
}

// keptSize bounds what is kept, in bytes.
const keptSize = 256 << 10

func newHeavy(t *testing.T) *heavy {
	h := &heavy{made: map[digest.Digest]fault.Bytes{}, kept: map[string][]byte{}, types: map[digest.Digest]string{}, seen: map[digest.Digest]int64{}, uploads: map[string]*upload{}}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// content is a blob that the registry has from now on.
func (h *heavy) content(seed byte, n int64) ocm.Content {
	b := fault.Bytes{Seed: seed, N: n}
	root := b.Root()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made[root.Digest] = b
	return ocm.Content{Root: root, From: b}
}

func (h *heavy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, _ := strings.CutPrefix(r.URL.Path, "/v2/")
	for _, kind := range []string{"/blobs/uploads/", "/blobs/", "/manifests/"} {
		repo, what, ok := strings.Cut(path, kind)
		switch {
		case !ok:
		case kind == "/blobs/uploads/":
			h.upload(w, r, repo, what)
			return
		case r.Method == http.MethodPut:
			h.manifest(w, r, repo, what)
			return
		default:
			h.serve(w, r, repo, what)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (h *heavy) serve(w http.ResponseWriter, r *http.Request, repo, ref string) {
	h.mu.Lock()
	raw, ok := h.kept[repo+" "+ref]
	made, large := h.made[digest.Digest(ref)]
	n, forgotten := h.seen[digest.Digest(ref)]
	mediaType := h.types[digest.FromBytes(raw)]
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case ok:
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(raw).String())
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	case large:
		http.ServeContent(w, r, "", time.Time{}, made.Reader())
	case forgotten && r.Method == http.MethodHead:
		w.Header().Set("Content-Length", fmt.Sprint(n))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *heavy) manifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	d := digest.FromBytes(raw)
	h.kept[repo+" "+ref], h.kept[repo+" "+d.String()] = raw, raw
	h.types[d] = r.Header.Get("Content-Type")
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

func (h *heavy) upload(w http.ResponseWriter, r *http.Request, repo, id string) {
	h.mu.Lock()
	if id == "" {
		id = fmt.Sprint(len(h.uploads) + 1)
		h.uploads[id] = &upload{sum: digest.SHA256.Digester()}
	}
	u := h.uploads[id]
	h.mu.Unlock()
	at := "/v2/" + repo + "/blobs/uploads/" + id
	w.Header().Set("Location", at)
	if u == nil || r.Method == http.MethodDelete || r.Method == http.MethodGet {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	n, err := io.Copy(io.MultiWriter(u.sum.Hash(), &u.head), io.LimitReader(r.Body, max(0, keptSize-u.n)))
	u.n += n
	if err == nil && u.n >= keptSize {
		n, err = io.Copy(u.sum.Hash(), r.Body)
		u.n += n
	}
	if err != nil {
		return
	}
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, u.n-1)))
	if r.Method != http.MethodPut {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	d := u.sum.Digest()
	if d.String() != r.URL.Query().Get("digest") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[d] = u.n
	if u.n < keptSize {
		h.kept[repo+" "+d.String()] = u.head.Bytes()
	}
	w.WriteHeader(http.StatusCreated)
}
