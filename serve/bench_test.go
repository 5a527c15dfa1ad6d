// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
	"ocm/internal/peer"
)

// Shares of what nginx does with the same file at the same time: what is the goal, and what a busy machine may make of it.
const (
	shareGoal = 0.9
	shareMark = 0.7
)

// TestThroughput fetches the same large file from nginx and from here in turn, over 127.0.0.1. It compares the
// rates of each round, so that what slows the machine down slows both.
func TestThroughput(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	if testing.Short() {
		t.Skip("a large file is needed")
	}
	size := int64(256 << 20)
	if os.Getenv("CI") != "" {
		size = 1 << 30
	}
	dir := t.TempDir()
	d := largeBlob(t, filepath.Join(dir, "archive"), size)
	packed := packedArchive(t, dir)
	other := startNginx(t, nginx, dir)
	path := "/v2/acme/app/blobs/" + string(d.Digest)
	peers := map[string][2]span{ // nginx serves the very file: of the archive, the part that is the blob
		"folder": {
			{process(t, filepath.Join(dir, "archive")) + path, 0, size},
			{other + "/archive/blobs/" + strings.Replace(string(d.Digest), ":", ".", 1), 0, size},
		},
		"tar": {
			{process(t, packed) + path, 0, size},
			{other + "/archive.tar", tarHead, size},
		},
	}
	for _, connections := range []int{1, 32} {
		for name, both := range peers {
			t.Run(fmt.Sprintf("%s %d", name, connections), func(t *testing.T) {
				share := medianShare(t, both, connections)
				t.Logf("%.2f of nginx (goal %.1f)", share, shareGoal)
				if share < shareMark {
					t.Errorf("%.2f of nginx's rate, expected %.1f", share, shareMark)
				}
			})
		}
	}
}

// span is a part of a file on a server.
type span struct {
	url          string
	offset, size int64
}

// tarHead is where the blob begins in the archive: behind the index in two blocks, and its own header.
const tarHead = 3 * 512

// medianShare is the median of several rounds; who begins changes from round to round. It needs more of them on a busy machine: not
// after one whose median reaches the goal.
func medianShare(t *testing.T, both [2]span, connections int) float64 {
	t.Helper()
	fetchAll(t, both[0], connections) // both are warm then
	fetchAll(t, both[1], connections)
	var shares, rates []float64
	for i := range 15 {
		if i >= 3 && median(shares) >= shareGoal {
			break
		}
		var took [2]time.Duration
		for j := range 2 {
			which := (i + j) % 2
			took[which] = fetchAll(t, both[which], connections)
		}
		shares = append(shares, took[1].Seconds()/took[0].Seconds())
		rates = append(rates, float64(both[0].size)/took[0].Seconds()/1e6)
	}
	t.Logf("MB/s: %.0f; shares: %.2f", rates, shares)
	return median(shares)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// fetchAll takes so many parts at once, which are the whole together.
func fetchAll(t *testing.T, s span, connections int) time.Duration {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: connections}
	defer tr.CloseIdleConnections()
	begin := time.Now()
	var wg sync.WaitGroup
	part := s.size / int64(connections)
	for i := range int64(connections) {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if connections > 1 || s.offset > 0 {
				at := s.offset + i*part
				req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+part-1))
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			buf := make([]byte, 1<<20)
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
			if err != nil || n != part || resp.StatusCode/100 != 2 {
				t.Errorf("%s: status %d, %d bytes of %d, %v", s.url, resp.StatusCode, n, part, err)
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// largeBlob is a folder with one blob.
func largeBlob(t testing.TB, dir string, size int64) ociv1.Descriptor {
	t.Helper()
	store, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	d, err := store.Repo("acme/app").Push(t.Context(), ociv1.Descriptor{Size: -1}, io.LimitReader(noise{}, size))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "artifact-index.json"), []byte(`{"schemaVersion":1,"artifacts":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// noise has no end, and a byte that is not the one before.
type noise struct{}

func (noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

// packedArchive is the folder "archive" as a tar archive.
func packedArchive(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "archive.tar")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := tarFolder(out, filepath.Join(dir, "archive")); err != nil {
		t.Fatal(err)
	}
	return path
}

// tarFolder packs an archive, the index first.
func tarFolder(out io.Writer, dir string) error {
	w := tar.NewWriter(out)
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "*.*"))
	if err != nil {
		return err
	}
	for _, name := range append([]string{filepath.Join(dir, "artifact-index.json")}, files...) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		inside, _ := filepath.Rel(dir, name)
		if err := w.WriteHeader(&tar.Header{Name: inside, Size: fi.Size(), Mode: 0o644}); err != nil {
			return err
		}
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
	}
	return w.Close()
}

// servedArchive is the variable that makes this program a server instead of a test.
const servedArchive = "SERVED_ARCHIVE"

func TestMain(m *testing.M) {
	archive := os.Getenv(servedArchive)
	if archive == "" {
		os.Exit(m.Run())
	}
	store, err := ctf.Open(archive)
	if err == nil {
		var on net.Listener
		if on, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			fmt.Println("http://" + on.Addr().String())
			err = Run(context.Background(), on, Handler(store, Options{}), nil, slog.New(slog.DiscardHandler))
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// process serves in a process of its own, as nginx does, and returns the address.
func process(t testing.TB, archive string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), servedArchive+"="+archive)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the server says nothing")
	}
	return lines.Text()
}

// run serves as the command does, and returns the address.
func run(t testing.TB, g *Registry) string {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- Run(ctx, on, g, nil, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.Close()
	})
	return "http://" + on.Addr().String()
}

// startNginx serves a folder as nginx does it best: sendfile, as many processes as it likes.
func startNginx(t testing.TB, bin, root string) string {
	t.Helper()
	addr, err := peer.Address()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log; events {}
http { access_log off; sendfile on; tcp_nopush on; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s; server { listen %[2]s; root %[3]s; } }`, dir, addr, root)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", file, "-p", dir, "-e", filepath.Join(dir, "early.log"))
	stop, err := peer.Start(cmd, "http://"+addr)
	if err != nil {
		raw, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		t.Fatalf("%v: %s", err, raw)
	}
	t.Cleanup(stop)
	return "http://" + addr
}

// BenchmarkUpload pushes 256 MiB, as one request and as a stream of unknown digest, as most clients do.
func BenchmarkUpload(b *testing.B) {
	const size = 256 << 20
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(noise{}, size)); err != nil {
		b.Fatal(err)
	}
	d := digest.NewDigest(digest.SHA256, h)
	for _, patch := range []bool{false, true} {
		b.Run(fmt.Sprintf("patch=%v", patch), func(b *testing.B) {
			url := run(b, Handler(folder(b), Options{Writable: true}))
			b.SetBytes(size)
			for b.Loop() {
				body := io.LimitReader(noise{}, size)
				at := send(b, http.MethodPost, url+"/v2/acme/app/blobs/uploads/", nil, http.StatusAccepted).Header.Get("Location")
				if patch {
					send(b, http.MethodPatch, url+at, body, http.StatusAccepted)
					body = nil
				}
				send(b, http.MethodPut, url+at+"?digest="+string(d), body, http.StatusCreated)
			}
		})
	}
}

func send(t testing.TB, method, url string, body io.Reader, status int) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s %s: status %d, expected %d; %v: %s", method, url, resp.StatusCode, status, err, raw)
	}
	return resp
}
