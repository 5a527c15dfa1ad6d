// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
	"ocm/oci/memory"
)

// mustHave fails unless a blob is there with the text.
func mustHave(t *testing.T, url, text string, d digest.Digest) {
	t.Helper()
	if a := ask(t, "GET", url+"/v2/acme/app/blobs/"+string(d), ""); a.status != 200 || a.body != text {
		t.Errorf("%s: %v, expected %q", d, a, text)
	}
}

// begin starts an upload and returns its address.
func begin(t *testing.T, url string) string {
	t.Helper()
	a := ask(t, "POST", url+"/v2/acme/app/blobs/uploads/", "")
	at := a.header.Get("Location")
	if a.status != 202 || !strings.HasPrefix(at, "/v2/acme/app/blobs/uploads/") || a.header.Get("Docker-Upload-UUID") == "" {
		t.Fatal(a)
	}
	return url + at
}

func TestUploadWays(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() oci.Store{
		"folder": func() oci.Store { return folder(t) },
		"memory": func() oci.Store { return memory.New() },
	} {
		srv, _ := start(t, open(), Options{Writable: true})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			created := func(a answer, text string, d digest.Digest) {
				t.Helper()
				if a.status != 201 || a.header.Get("Location") != "/v2/acme/app/blobs/"+string(d) || a.header.Get("Docker-Content-Digest") != string(d) {
					t.Error(a)
				}
				mustHave(t, srv.URL, text, d)
			}
			for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
				text := "post " + alg.String()
				created(ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/?digest="+string(alg.FromString(text)), text), text, alg.FromString(text))
				text = "put " + alg.String()
				created(ask(t, "PUT", begin(t, srv.URL)+"?digest="+string(alg.FromString(text)), text), text, alg.FromString(text))
				text = "stream, " + alg.String()
				at := begin(t, srv.URL)
				if a := ask(t, "PATCH", at, text); a.status != 202 || a.header.Get("Range") != fmt.Sprintf("0-%d", len(text)-1) {
					t.Error(a)
				}
				created(ask(t, "PUT", at+"?digest="+string(alg.FromString(text)), ""), text, alg.FromString(text))
			}
			created(ask(t, "PUT", begin(t, srv.URL)+"?digest="+string(digest.FromString("")), ""), "", digest.FromString(""))
			created(ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads?digest="+string(digest.FromString("no slash")), "no slash"), "no slash", digest.FromString("no slash"))
			testChunks(t, srv.URL)
			testMount(t, srv.URL)
		})
	}
}

func testChunks(t *testing.T, url string) {
	t.Helper()
	at := begin(t, url)
	step := func(method, header, body string, status int, reach string) {
		t.Helper()
		headers := []string{"Content-Type: application/octet-stream"}
		if header != "" {
			headers = append(headers, "Content-Range: "+header)
		}
		if a := ask(t, method, at, body, headers...); a.status != status || a.header.Get("Range") != reach || url+a.header.Get("Location") != at {
			t.Errorf("%s %s: %v, expected %d with range %s", method, header, a, status, reach)
		}
	}
	step("GET", "", "", 204, "0-0")
	step("PATCH", "1-3", "123", 416, "0-0")
	step("PATCH", "0-3", "0123", 202, "0-3")
	step("PATCH", "0-3", "0123", 416, "0-3")
	step("PATCH", "5-6", "56", 416, "0-3")
	step("PATCH", "bytes 4-5/6", "45", 416, "0-3")
	step("PATCH", "4-2", "4", 416, "0-3")
	step("PATCH", "4-9", "45", 400, "0-3")
	step("GET", "", "", 204, "0-3")
	step("PATCH", "4-9", content[4:10], 202, "0-9")
	d := digest.FromString(content)
	if a := ask(t, "PUT", at+"?digest="+string(d), content[10:], "Content-Range: 11-15"); a.status != 416 {
		t.Error(a)
	}
	if a := ask(t, "GET", url+"/v2/acme/app/blobs/"+string(d), ""); a.status != 404 {
		t.Error("half a blob can be seen:", a)
	}
	if a := ask(t, "PUT", at+"?digest="+string(d), content[10:], "Content-Range: 10-15"); a.status != 201 {
		t.Error(a)
	}
	mustHave(t, url, content, d)
	if a := ask(t, "GET", at, ""); a.status != 404 || a.code(t) != "BLOB_UPLOAD_UNKNOWN" {
		t.Error(a)
	}
}

func testMount(t *testing.T, url string) {
	t.Helper()
	d := digest.FromString(content)
	to := url + "/v2/acme/other/blobs/uploads/?mount="
	if a := ask(t, "POST", to+string(d)+"&from=acme/app", ""); a.status != 201 || a.header.Get("Location") != "/v2/acme/other/blobs/"+string(d) {
		t.Error(a)
	}
	if a := ask(t, "GET", url+"/v2/acme/other/blobs/"+string(d), ""); a.body != content {
		t.Error(a)
	}
	if a := ask(t, "POST", to+string(d), ""); a.status != 201 { // it is there
		t.Error(a)
	}
	for _, bad := range []string{string(digest.FromString("x")) + "&from=acme/app", string(digest.FromString("x")) + "&from=../..", "sha256:x&from=acme/app", ""} {
		a := ask(t, "POST", to+bad, "")
		if a.status != 202 || !strings.HasPrefix(a.header.Get("Location"), "/v2/acme/other/blobs/uploads/") {
			t.Errorf("%s: %v", bad, a)
		}
		ask(t, "DELETE", url+a.header.Get("Location"), "")
	}
}

// What an upload is refused for leaves nothing in the folder.
func TestUploadRefused(t *testing.T) {
	t.Parallel()
	store := folder(t)
	srv, _ := start(t, store, Options{Writable: true})
	wrong := string(digest.FromString("other"))
	streamed := begin(t, srv.URL)
	ask(t, "PATCH", streamed, content)
	if a := ask(t, "PUT", streamed+"?digest="+wrong, ""); a.status != 400 || a.code(t) != "DIGEST_INVALID" {
		t.Error(a)
	}
	if a := ask(t, "PUT", streamed+"?digest="+string(digest.FromString(content)), ""); a.status != 404 {
		t.Error("a failed upload goes on:", a)
	}
	if a := ask(t, "PUT", begin(t, srv.URL)+"?digest="+wrong, content); a.status != 400 || a.code(t) != "DIGEST_INVALID" {
		t.Error(a)
	}
	if a := ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/?digest="+wrong, content); a.status != 400 || a.code(t) != "DIGEST_INVALID" {
		t.Error(a)
	}
	at := begin(t, srv.URL)
	for _, query := range []string{"", "?digest=", "?digest=sha256:abc", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"} {
		if a := ask(t, "PUT", at+query, content); a.status != 400 || a.code(t) != "DIGEST_INVALID" {
			t.Error(query, a)
		}
	}
	if a := ask(t, "GET", strings.Replace(at, "acme/app", "acme/other", 1), ""); a.status != 404 {
		t.Error("an upload of another repository:", a)
	}
	ask(t, "PATCH", at, content)
	if a := ask(t, "DELETE", at, ""); a.status != 204 {
		t.Error(a)
	}
	if a := ask(t, "PATCH", at, content); a.status != 404 {
		t.Error(a)
	}
	files, err := os.ReadDir(filepath.Join(store.String(), "blobs"))
	if err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

func TestPutManifest(t *testing.T) {
	t.Parallel()
	store := folder(t)
	srv, _ := start(t, store, Options{Writable: true})
	d, raw := image(t, store.Repo("acme/app"), content, "")
	at := srv.URL + "/v2/acme/app/manifests/"
	typed := "Content-Type: " + ociv1.MediaTypeImageManifest
	for ref, want := range map[string]string{"1.0.0": "1.0.0", string(d.Digest): string(d.Digest)} {
		a := ask(t, "PUT", at+ref, raw, typed+"; charset=utf-8")
		if a.status != 201 || a.header.Get("Location") != "/v2/acme/app/manifests/"+want || a.header.Get("Docker-Content-Digest") != string(d.Digest) || a.header.Get("OCI-Subject") != "" {
			t.Error(a)
		}
	}
	if a := ask(t, "GET", at+"1.0.0", ""); a.body != raw || a.header.Get("Content-Type") != ociv1.MediaTypeImageManifest {
		t.Error(a)
	}
	if a := ask(t, "PUT", at+"untyped", raw); a.status != 201 { // the manifest says what it is
		t.Error(a)
	}
	long := digest.SHA512.FromString(raw)
	if a := ask(t, "PUT", at+string(long), raw, typed); a.status != 201 || a.header.Get("Docker-Content-Digest") != string(long) {
		t.Error(a)
	}
	subject := digest.FromString("not there yet")
	_, refers := image(t, store.Repo("acme/app"), content, fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":3}`, d.MediaType, subject))
	if a := ask(t, "PUT", at+"sbom", refers, typed); a.status != 201 || a.header.Get("OCI-Subject") != string(subject) {
		t.Error(a)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ociv1.MediaTypeImageIndex, d.MediaType, d.Digest, d.Size)
	if a := ask(t, "PUT", at+"index", index, "Content-Type: "+ociv1.MediaTypeImageIndex); a.status != 201 {
		t.Error(a)
	}
	missing := strings.NewReplacer(string(d.Digest), string(digest.FromString("x"))).Replace(index)
	a := ask(t, "PUT", at+"index", missing, "Content-Type: "+ociv1.MediaTypeImageIndex)
	if a.status != 404 || a.code(t) != "MANIFEST_BLOB_UNKNOWN" || !strings.Contains(a.body, `"detail":{"digest":"`+string(digest.FromString("x"))) {
		t.Error(a)
	}
	for name, bad := range map[string]struct{ ref, body, header, want string }{
		"another digest":    {string(digest.FromString("x")), raw, typed, "400 DIGEST_INVALID"},
		"malformed digest":  {"sha256:x", raw, typed, "400 DIGEST_INVALID"},
		"malformed tag":     {".x", raw, typed, "400 MANIFEST_INVALID"},
		"no manifest":       {"x", `{"schemaVersion":2`, typed, "400 MANIFEST_INVALID"},
		"wrong media type":  {"x", raw, "Content-Type: text/html", "400 MANIFEST_INVALID"},
		"another type":      {"x", raw, "Content-Type: " + ociv1.MediaTypeImageIndex, "400 MANIFEST_INVALID"},
		"missing layer":     {"x", strings.Replace(raw, string(digest.FromString(content)), string(digest.FromString("x")), 1), typed, "404 MANIFEST_BLOB_UNKNOWN"},
		"wrong size":        {"x", strings.Replace(raw, `"size":16`, `"size":17`, 1), typed, "404 MANIFEST_BLOB_UNKNOWN"},
		"negative size":     {"x", strings.Replace(raw, `"size":16`, `"size":-1`, 1), typed, "400 MANIFEST_INVALID"},
		"malformed layer":   {"x", strings.Replace(raw, string(digest.FromString(content)), "sha256:../../x", 1), typed, "400 MANIFEST_INVALID"},
		"malformed subject": {"x", strings.Replace(refers, string(subject), "sha256:../../x", 1), typed, "400 MANIFEST_INVALID"},
		"tag moved":         {"1.0.0", raw, typed, "412 MANIFEST_INVALID"},
	} {
		headers := []string{bad.header}
		if name == "tag moved" {
			headers = append(headers, "If-Match: "+etag(digest.FromString("x")))
		}
		if a := ask(t, "PUT", at+bad.ref, bad.body, headers...); fmt.Sprint(a.status, " ", a.code(t)) != bad.want {
			t.Errorf("%s: %v, expected %s", name, a, bad.want)
		}
	}
	if a := ask(t, "HEAD", at+"x", ""); a.status != 404 {
		t.Error("a refused manifest is there:", a)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	store := folder(t)
	if _, ok := store.Repo("acme/app").(oci.Deleter); !ok {
		srv, _ := start(t, store, Options{Writable: true})
		if a := ask(t, "DELETE", srv.URL+"/v2/acme/app/manifests/1.0.0", ""); a.status != 405 || a.code(t) != "UNSUPPORTED" {
			t.Error(a)
		}
		return
	}
	d := tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	stays := tagImage(t, store.Repo("acme/app"), "stays", "other", "")
	srv, _ := start(t, store, Options{Writable: true})
	manifests, blobs := srv.URL+"/v2/acme/app/manifests/", srv.URL+"/v2/acme/app/blobs/"
	layer := string(digest.FromString(content))
	for _, step := range []struct {
		method, url string
		status      int
	}{
		{"DELETE", manifests + "2.0.0", 404},
		{"DELETE", manifests + "1.0.0", 202},
		{"GET", manifests + "1.0.0", 404},
		{"DELETE", manifests + "1.0.0", 404},
		{"GET", manifests + string(d.Digest), 200},
		{"DELETE", blobs + layer, 405},
		{"DELETE", blobs + "sha256:x", 400},
		{"DELETE", manifests + string(d.Digest), 202},
		{"GET", manifests + string(d.Digest), 404},
		{"DELETE", manifests + string(d.Digest), 404},
		{"DELETE", srv.URL + "/v2/acme/other/manifests/" + string(d.Digest), 404},
		{"DELETE", blobs + layer, 202},
		{"GET", blobs + layer, 404},
		{"DELETE", blobs + layer, 404},
		{"GET", manifests + "stays", 200},
		{"DELETE", manifests + "stays", 202},
		{"DELETE", manifests + string(stays.Digest), 202},
		{"GET", srv.URL + "/v2/acme/app/tags/list", 200}, // empty, and not unknown
		{"GET", srv.URL + "/v2/acme/other/tags/list", 404},
	} {
		if a := ask(t, step.method, step.url, ""); a.status != step.status {
			t.Errorf("%s %s: %v, expected %d", step.method, step.url, a, step.status)
		}
	}
}

// full is a store on a disk that has no room for what is larger than a few bytes.
type full struct{ oci.Store }

func (s full) Repo(name string) oci.Repo { return fullRepo{s.Store.Repo(name)} }

type fullRepo struct{ oci.Repo }

func (r fullRepo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	return r.Repo.Push(ctx, d, &fullReader{src, 1000})
}

// fullReader fails as the file system would that the bytes are written to.
type fullReader struct {
	r    io.Reader
	left int
}

func (f *fullReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.left -= n; f.left < 0 {
		return 0, fmt.Errorf("write: %w", &os.PathError{Op: "write", Path: "/secret/place", Err: syscall.ENOSPC})
	}
	return n, err
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	srv, _ := start(t, full{folder(t)}, Options{Writable: true})
	large := strings.Repeat("x", 100_000)
	d := string(digest.FromString(large))
	at := begin(t, srv.URL)
	for name, a := range map[string]answer{
		"post":  ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/?digest="+d, large),
		"put":   ask(t, "PUT", begin(t, srv.URL)+"?digest="+d, large),
		"patch": ask(t, "PATCH", at, large),
	} {
		if a.status != http.StatusInsufficientStorage || !strings.Contains(a.body, "the disk of the registry is full") || strings.Contains(a.body, "secret") {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := ask(t, "GET", at, ""); a.status != 404 {
		t.Error("the upload goes on:", a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/app/blobs/"+d, ""); a.status != 404 {
		t.Error(a)
	}
	small := digest.FromString("small")
	if a := ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/?digest="+string(small), "small"); a.status != 201 {
		t.Error("nothing works any more:", a)
	}
}

// Several processes push into one folder, each by a store of its own.
func TestTwoServersOneFolder(t *testing.T) {
	t.Parallel()
	one := folder(t)
	two, err := ctf.Open(one.String())
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	a, _ := start(t, one, Options{Writable: true})
	b, _ := start(t, two, Options{Writable: true})
	for i := range 20 {
		for j, url := range []string{a.URL, b.URL} {
			text := fmt.Sprint(i, j)
			d, raw := image(t, client(t, url).Repo("acme/app"), text, "")
			if got := ask(t, "PUT", fmt.Sprintf("%s/v2/acme/app/manifests/%d.%d", url, i, j), raw, "Content-Type: "+d.MediaType); got.status != 201 {
				t.Fatal(got)
			}
		}
	}
	for _, url := range []string{a.URL, b.URL} {
		if got := ask(t, "GET", url+"/v2/acme/app/tags/list", ""); strings.Count(got.body, ".") != 40 {
			t.Error(got)
		}
	}
}

// damaged is what a store says of its own content.
type damaged struct{ oci.Store }

func (s damaged) Repo(name string) oci.Repo { return damagedRepo{s.Store.Repo(name)} }

type damagedRepo struct{ oci.Repo }

func (r damagedRepo) Resolve(context.Context, string) (ociv1.Descriptor, error) {
	return ociv1.Descriptor{}, fmt.Errorf("/secret/place: %w", errors.Join(ocm.ErrInvalid))
}

// What is wrong with the store is its own business: the client is told that it is, the log is told what.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	srv, _ := start(t, damaged{memory.New()}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	a := ask(t, "GET", srv.URL+"/v2/acme/app/manifests/1.0.0", "")
	if a.status != 500 || strings.Contains(a.body, "secret") || a.code(t) != "UNKNOWN" {
		t.Error(a)
	}
	srv.Close()
	if !strings.Contains(log.String(), "/secret/place") {
		t.Errorf("log: %s", log.String())
	}
}
