// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
	"ocm/oci"
	"ocm/oci/memory"
)

// raw sends bytes as they are, and returns the first answer.
func raw(t *testing.T, srv *httptest.Server, text string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, text)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// CVE-2024-3727 (containers/image), CVE-2026-40090: what is named in a request does not become a path.
func TestCVE_2024_3727(t *testing.T) {
	t.Parallel()
	store := folder(t)
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	secret := filepath.Join(filepath.Dir(store.String()), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, _ := start(t, store, Options{Writable: true})
	for _, path := range []string{
		"/v2/acme/app/blobs/../../../secret", "/v2/acme/app/blobs/..%2f..%2fsecret", "/v2/../../secret", "/v2/acme/app/blobs/sha256:../../secret",
		"/v2/acme/app/blobs/sha256:%2e%2e%2f%2e%2e%2fsecret", "/v2/acme/app/manifests/..", "/v2/acme/app/manifests/%2e%2e", "/v2/../blobs/sha256:x",
		"/v2/acme/../../manifests/x", "/v2/acme/app/blobs/uploads/../../../secret", "/v2/acme/app/referrers/sha256:../x", "//v2/acme/app/tags/list", "/v2/acme/app/blobs/sha256:" + strings.Repeat("A", 64),
		"/v2/acme\\app/tags/list", "/v2/acme/app\x00/tags/list",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "POST"} {
			status, body := raw(t, srv, method+" "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
			if status < 400 || status >= 500 || strings.Contains(body, `"secret"`) {
				t.Errorf("%s %q: %d %s", method, path, status, body)
			}
		}
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(store.String()), "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}

// CVE-2021-41190, GHSA-mc8v-mgrf-8f4m: one document that is manifest and index, or is called something else than it is.
func TestCVE_2021_41190(t *testing.T) {
	t.Parallel()
	store := folder(t)
	srv, _ := start(t, store, Options{Writable: true})
	_, image := image(t, store.Repo("acme/app"), content, "")
	both := strings.TrimSuffix(image, "}") + `,"manifests":[]}`
	for _, typ := range []string{ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageIndex} {
		for _, text := range []string{both, strings.Replace(both, `"mediaType":"`+ociv1.MediaTypeImageManifest+`",`, "", 1)} {
			if a := ask(t, "PUT", srv.URL+"/v2/acme/app/manifests/x", text, "Content-Type: "+typ); a.status != 400 || a.code(t) != "MANIFEST_INVALID" {
				t.Errorf("%s: %v", typ, a)
			}
		}
	}
	if a := ask(t, "PUT", srv.URL+"/v2/acme/app/manifests/x", strings.Replace(image, `"config"`, `"config":{},"config"`, 1), "Content-Type: "+ociv1.MediaTypeImageManifest); a.status != 400 {
		t.Error("a member that is there twice:", a)
	}
}

// regclient GHSA-qv35-3gw6-8q4j, notation-go CVE-2023-33959: what is sent for a digest has it, also if the disk has something else.
func TestGHSA_qv35_3gw6_8q4j(t *testing.T) {
	t.Parallel()
	store := folder(t)
	d := tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	name := filepath.Join(store.String(), "blobs", strings.Replace(string(d.Digest), ":", ".", 1))
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte("text/plain"), []byte("text/PLAIN"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, _ := start(t, store, Options{})
	for _, ref := range []string{"1.0.0", string(d.Digest)} {
		a := ask(t, "GET", srv.URL+"/v2/acme/app/manifests/"+ref, "")
		if a.status != 500 || strings.Contains(a.body, "PLAIN") || a.header.Get("Docker-Content-Digest") != "" || a.header.Get("ETag") != "" {
			t.Errorf("%s: %v %v", ref, a, a.header)
		}
	}
}

// CVE-2026-44245, CVE-2026-45738: nothing that is served is a page for a browser, whatever an archive says that it is.
func TestCVE_2026_44245(t *testing.T) {
	t.Parallel()
	store := folder(t)
	page := put(t, store.Repo("acme/app"), "<script>alert(1)</script>")
	index := fmt.Sprintf(`{"schemaVersion":1,"artifacts":[{"repository":"acme/app","tag":"page","digest":%q,"mediaType":"text/html"}]}`, page.Digest)
	if err := os.WriteFile(filepath.Join(store.String(), "artifact-index.json"), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, _ := start(t, store, Options{Writable: true})
	for _, path := range []string{
		"manifests/page", "manifests/" + string(page.Digest), "blobs/" + string(page.Digest), "manifests/<script>", "tags/list?n=<script>", "tags/list?last=<script>", "blobs/<script>",
	} {
		a := ask(t, "GET", srv.URL+"/v2/acme/app/"+path, "")
		typ := a.header.Get("Content-Type")
		if typ != octetStream && typ != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff" || strings.HasPrefix(path, "manifests") && a.status != 404 {
			t.Errorf("%s: %v", path, a)
		}
	}
}

// CVE-2023-2253: the length of a list that a client asks for.
func TestCVE_2023_2253(t *testing.T) {
	t.Parallel()
	store := memory.New()
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	srv, _ := start(t, store, Options{})
	for _, n := range []string{"9223372036854775807", "99999999999999999999999999", "2147483648"} {
		for _, path := range []string{"/v2/_catalog", "/v2/acme/app/tags/list"} {
			if a := ask(t, "GET", srv.URL+path+"?n="+n, ""); a.status != 200 || a.header.Get("Link") != "" {
				t.Error(n, a)
			}
		}
	}
}

// Harbor CVE-2025-47284: names in the log stay names.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	srv, _ := start(t, memory.New(), Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ask(t, "GET", srv.URL+"/v2/a%0alevel=ERROR%20msg=forged%1b[31m/manifests/x", "")
	ask(t, "GET", srv.URL+"/v2/a/manifests/x?token=hidden", "")
	srv.Close()
	if text := log.String(); strings.Count(text, "\n") != 2 || strings.Contains(text, "\x1b") || strings.Contains(text, "hidden") {
		t.Errorf("%q", text)
	}
}

// Requests whose end is told in two ways are not taken for two requests.
func TestRequestSmuggling(t *testing.T) {
	t.Parallel()
	srv, _ := start(t, folder(t), Options{Writable: true})
	d := digest.FromString("hidden")
	hidden := "POST /v2/acme/app/blobs/uploads/?digest=" + string(d) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nhidden"
	for name, head := range map[string]string{
		"two lengths":        "Content-Length: 0\r\nContent-Length: 500\r\n",
		"signed":             "Content-Length: +5\r\n",
		"unknown encoding":   "Transfer-Encoding: xchunked\r\n",
		"folded":             "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4, 5\r\n",
		"space before colon": "Content-Length : 5\r\n",
		"encodings":          "Transfer-Encoding: chunked, identity\r\n",
	} {
		status, _ := raw(t, srv, "PUT /v2/acme/app/manifests/x HTTP/1.1\r\nHost: x\r\n"+head+"\r\n"+hidden)
		if status != 400 && status != 501 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if a := ask(t, "HEAD", srv.URL+"/v2/acme/app/blobs/"+string(d), ""); a.status != 404 {
		t.Error("a hidden request was answered")
	}
}

// An archive that was replaced while it is served: the rest of it comes from the file that was opened, and not from another one.
func TestArchiveIsReplaced(t *testing.T) {
	t.Parallel()
	f := folder(t)
	tagImage(t, f.Repo("acme/app"), "1.0.0", content, "")
	store := asTar(t, f)
	srv, _ := start(t, store, Options{})
	at := srv.URL + "/v2/acme/app/blobs/" + string(digest.FromString(content))
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, "GET", at, "", "Range: bytes=4-7"); a.body != "4567" {
		t.Error(a)
	}
	if err := os.Rename(other, store.String()); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, "GET", at, "", "Range: bytes=4-7"); a.body != "4567" {
		t.Error(a)
	}
	if err := os.Remove(store.String()); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, "GET", at, ""); a.body != content {
		t.Error(a)
	}
}

// A link in the place of a blob is not followed (go-containerregistry #2306).
func TestLinkedBlob(t *testing.T) {
	t.Parallel()
	store := folder(t)
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	name := filepath.Join(store.String(), "blobs", strings.Replace(string(digest.FromString(content)), ":", ".", 1))
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", name); err != nil {
		t.Fatal(err)
	}
	srv, _ := start(t, store, Options{})
	if a := ask(t, "GET", srv.URL+"/v2/acme/app/blobs/"+string(digest.FromString(content)), ""); a.status != 500 || strings.Contains(a.body, "root") {
		t.Error(a)
	}
}

// Two ways to write one name must not be two repositories, nor one name two.
func TestNamesHaveOneMeaning(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]route{
		"/v2/a/manifests/manifests/x":        {kindManifest, "a/manifests", "x"},
		"/v2/a/blobs/blobs/sha256:x":         {kindBlob, "a/blobs", "sha256:x"},
		"/v2/a/blobs/uploads/blobs/uploads/": {kindUploads, "a/blobs/uploads", ""},
		"/v2/a/blobs/uploads/manifests/x":    {kindManifest, "a/blobs/uploads", "x"},
		"/v2/tags/list/tags/list":            {kindTags, "tags/list", ""},
		"/v2/a/blobs/uploads/x":              {kindUpload, "a", "x"},
		"/v2/a/referrers/sha256%3Ax":         {kindReferrers, "a", "sha256:x"},
	} {
		if got, err := parseRoute(path); got != want || err != nil {
			t.Errorf("%s: %v, %v, expected %v", path, got, err, want)
		}
	}
}

// FuzzRoute: whatever is asked for gets an answer that is one, and what is found has a name and a reference that fit the grammar.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{
		"/v2/", "/v2", "/v2/_catalog", "/v2/a/b/tags/list", "/v2/a/manifests/x", "/v2/a/blobs/sha256:" + strings.Repeat("0", 64), "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/x",
		"/v2/a/referrers/sha256:x", "/v2/a%2fb/manifests/x", "/v2/../manifests/..", "/v2//", "/v2/a/blobs/uploads", "/v2/%zz/tags/list", "/v2/a/uploads/x",
	} {
		f.Add(s, "GET", "", "")
		f.Add(s, "PUT", "?digest=sha256:"+strings.Repeat("0", 64), "0-3")
		f.Add(s, "POST", "?mount=x&from=y", "bytes=0-")
	}
	store, err := ctf.Open(filepath.Join(f.TempDir(), "archive"))
	if err != nil {
		f.Fatal(err)
	}
	if err := store.Repo("a").PutManifest(f.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromString(empty), Size: int64(len(empty))}, []byte(empty), "x", oci.Any()); err != nil {
		f.Fatal(err)
	}
	g := Handler(store, Options{Writable: true})
	f.Fuzz(func(t *testing.T, path, method, query, ranges string) {
		req, err := http.NewRequest(method, "http://x", strings.NewReader("body"))
		if err != nil || strings.ContainsAny(path+query, "#") {
			return
		}
		if req.URL, err = req.URL.Parse("http://x/" + strings.TrimPrefix(path, "/") + query); err != nil {
			return
		}
		req.Header.Set("Range", ranges)
		req.Header.Set("Content-Range", ranges)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, req)
		if w.Code < 200 || w.Code > 599 || w.Code == 500 {
			t.Errorf("%s %s%s: %d %s", method, path, query, w.Code, w.Body)
		}
		if at := w.Header().Get("Location"); at != "" {
			r, err := parseRoute(strings.SplitN(at, "?", 2)[0])
			if err != nil || checkName(r.name) != nil {
				t.Errorf("%s %s%s: location %q", method, path, query, at)
			}
			if r.kind == kindUpload {
				g.uploads.mu.Lock()
				u := g.uploads.byID[r.ref]
				g.uploads.mu.Unlock()
				if u != nil {
					u.busy.Lock()
					g.uploads.drop(u)
					u.busy.Unlock()
				}
			}
		}
	})
}

const empty = `{"schemaVersion":2,"manifests":[]}`

// FuzzRanges: a part lies within the whole, and a header has one meaning.
func FuzzRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-1", "bytes=1-", "bytes=0-0,1-1", "0-1", "1-0", "bytes=9223372036854775807-", "0-9223372036854775807", "00-01", "bytes = 1 - 2", "-", "bytes=--1", "+1-2"} {
		f.Add(s, int64(10))
		f.Add(s, int64(0))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		start, length, status, ok := parseRange(header, size)
		switch {
		case !ok:
		case status == http.StatusOK && (start != 0 || length != size), status == http.StatusPartialContent && length == 0,
			start < 0 || length < 0 || start > size || length > size-start, status != http.StatusOK && status != http.StatusPartialContent:
			t.Errorf("%q of %d: %d, %d, %d", header, size, start, length, status)
		}
		if start, length, ok := parseContentRange(header); ok && (start < 0 || length <= 0 || start+length < start || strings.Trim(header, "0123456789-") != "" || strings.Count(header, "-") != 1) {
			t.Errorf("%q: %d, %d", header, start, length)
		}
	})
}
