// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
	"ocm/oci"
	"ocm/oci/memory"
)

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code(t testing.TB) string {
	t.Helper()
	var doc struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || len(doc.Errors) == 0 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%q (%s) is no list of errors: %v", a.body, a.header.Get("Content-Type"), err)
		return ""
	}
	return doc.Errors[0].Code
}

// ask sends a request; header lines are "Name: value".
func ask(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

func put(t testing.TB, repo oci.Repo, text string) ociv1.Descriptor {
	t.Helper()
	d, err := repo.Push(context.Background(), ociv1.Descriptor{Size: -1}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// image is a manifest with one layer; what is in more is added to it.
func image(t testing.TB, repo oci.Repo, layer, more string) (ociv1.Descriptor, string) {
	t.Helper()
	config, content := put(t, repo, "{}"), put(t, repo, layer)
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},`+
		`"layers":[{"mediaType":"text/plain","digest":%q,"size":%d}]%s}`, ociv1.MediaTypeImageManifest, config.Digest, content.Digest, content.Size, more)
	return ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(raw), Size: int64(len(raw))}, raw
}

func tagImage(t testing.TB, repo oci.Repo, tag, layer, more string) ociv1.Descriptor {
	t.Helper()
	d, raw := image(t, repo, layer, more)
	if err := repo.PutManifest(context.Background(), d, []byte(raw), tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

const content = "0123456789abcdef"

// asTar packs the folder of a store.
func asTar(t testing.TB, from *ctf.Store) *ctf.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tarFolder(f, from.String()); err != nil {
		t.Fatal(err)
	}
	s, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Everything that can be read is the same in a folder, in a tar archive and in memory.
func TestRead(t *testing.T) {
	t.Parallel()
	f := folder(t)
	inMemory := memory.New()
	for _, s := range []oci.Store{f, inMemory} {
		tagImage(t, s.Repo("acme/app"), "1.0.0", content, "")
	}
	for name, store := range map[string]oci.Store{"folder": f, "tar": asTar(t, f), "memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := start(t, store, Options{})
			testManifest(t, srv.URL)
			testBlob(t, srv.URL)
			testReadOnly(t, srv.URL)
		})
	}
}

func testManifest(t *testing.T, url string) {
	t.Helper()
	at := url + "/v2/acme/app/manifests/"
	a := ask(t, "GET", at+"1.0.0", "")
	d := digest.FromString(a.body)
	if a.status != 200 || a.header.Get("Content-Type") != ociv1.MediaTypeImageManifest || a.header.Get("Docker-Content-Digest") != string(d) {
		t.Fatal(a)
	}
	if b := ask(t, "GET", at+string(d), ""); b.body != a.body || b.status != 200 {
		t.Error("by digest:", b)
	}
	head := ask(t, "HEAD", at+strings.Replace(string(d), ":", "%3A", 1), "")
	if head.status != 200 || head.header.Get("Content-Length") != fmt.Sprint(len(a.body)) || head.header.Get("Docker-Content-Digest") != string(d) {
		t.Error("HEAD:", head)
	}
	if b := ask(t, "GET", at+"1.0.0", "", "If-None-Match: "+a.header.Get("ETag")); b.status != 304 || b.body != "" {
		t.Error("known:", b)
	}
	for ref, want := range map[string]string{
		"2.0.0": "404 MANIFEST_UNKNOWN", ".INVALID_MANIFEST_NAME": "404 MANIFEST_UNKNOWN",
		string(digest.FromString("x")): "404 MANIFEST_UNKNOWN", string(digest.FromString(content)): "404 MANIFEST_UNKNOWN",
		"sha256:abc": "400 DIGEST_INVALID", "md5:d41d8cd98f00b204e9800998ecf8427e": "400 DIGEST_INVALID",
	} {
		if b := ask(t, "GET", at+ref, ""); fmt.Sprint(b.status, " ", b.code(t)) != want {
			t.Errorf("%s: %v, expected %s", ref, b, want)
		}
		if b := ask(t, "HEAD", at+ref, ""); fmt.Sprint(b.status) != want[:3] || b.body != "" {
			t.Errorf("HEAD %s: %v, expected %s", ref, b, want)
		}
	}
}

func testBlob(t *testing.T, url string) {
	t.Helper()
	at := url + "/v2/acme/app/blobs/"
	d := string(digest.FromString(content))
	etag := `"` + d + `"`
	for _, tt := range []struct {
		headers []string
		status  int
		body    string
		part    string
	}{
		{nil, 200, content, ""},
		{[]string{"Range: bytes=0-3"}, 206, "0123", "bytes 0-3/16"},
		{[]string{"Range: bytes=4-"}, 206, content[4:], "bytes 4-15/16"},
		{[]string{"Range: bytes=-4"}, 206, "cdef", "bytes 12-15/16"},
		{[]string{"Range: bytes=-99"}, 206, content, "bytes 0-15/16"},
		{[]string{"Range: bytes=10-99999999999999999999"}, 206, "abcdef", "bytes 10-15/16"},
		{[]string{"Range: BYTES=15-15"}, 206, "f", "bytes 15-15/16"},
		{[]string{"Range: lines=1-2"}, 200, content, ""},
		{[]string{"Range: bytes=0-1,3-4"}, 200, content, ""},
		{[]string{"Range: bytes=16-"}, 416, "", "bytes */16"},
		{[]string{"Range: bytes=5-4"}, 416, "", "bytes */16"},
		{[]string{"Range: bytes=-0"}, 416, "", "bytes */16"},
		{[]string{"Range: bytes=a-b"}, 416, "", "bytes */16"},
		{[]string{"Range: bytes=0-3", "If-Range: " + etag}, 206, "0123", "bytes 0-3/16"},
		{[]string{"Range: bytes=0-3", `If-Range: "sha256:other"`}, 200, content, ""},
		{[]string{`If-None-Match: "x", ` + etag}, 304, "", ""},
	} {
		a := ask(t, "GET", at+d, "", tt.headers...)
		if a.status != tt.status || tt.status < 400 && a.body != tt.body || a.header.Get("Content-Range") != tt.part {
			t.Errorf("%v: %v, expected %d %q %s", tt.headers, a, tt.status, tt.body, tt.part)
		}
		if a.status < 300 && (a.header.Get("Accept-Ranges") != "bytes" || a.header.Get("Docker-Content-Digest") != d || a.header.Get("Content-Length") != fmt.Sprint(len(tt.body))) {
			t.Errorf("%v: %v", tt.headers, a.header)
		}
	}
	if a := ask(t, "HEAD", at+d, ""); a.status != 200 || a.header.Get("Content-Length") != "16" || a.header.Get("Docker-Content-Digest") != d {
		t.Error("HEAD:", a)
	}
	if a := ask(t, "GET", at+string(digest.FromString("x")), ""); a.status != 404 || a.code(t) != "BLOB_UNKNOWN" {
		t.Error("unknown:", a)
	}
	if a := ask(t, "GET", at+"sha256:../../etc/passwd", ""); a.status != 404 {
		t.Error("malformed:", a)
	}
}

func testReadOnly(t *testing.T, url string) {
	t.Helper()
	d := string(digest.FromString(content))
	for _, call := range []string{
		"POST /v2/acme/app/blobs/uploads/", "PUT /v2/acme/app/manifests/x", "DELETE /v2/acme/app/manifests/1.0.0", "DELETE /v2/acme/app/blobs/" + d,
		"PATCH /v2/acme/app/blobs/uploads/x", "PUT /v2/acme/app/blobs/uploads/x", "DELETE /v2/acme/app/tags/list", "POST /v2/", "BREW /v2/acme/app/manifests/1.0.0",
	} {
		method, path, _ := strings.Cut(call, " ")
		if a := ask(t, method, url+path, ""); a.status != 405 || a.code(t) != "UNSUPPORTED" || a.header.Get("Allow") == "" {
			t.Errorf("%s: %v", call, a)
		}
	}
	if a := ask(t, "GET", url+"/v2/", ""); a.status != 200 || a.header.Get("Docker-Distribution-API-Version") != "registry/2.0" {
		t.Error(a)
	}
	for path, status := range map[string]int{
		"/": 404, "/v1/": 404, "/v2/x": 404, "/v2//manifests/x": 400, "/v2/acme//app/manifests/1": 400, "/v2/ACME/manifests/1": 400,
		"/v2/acme%2fapp/manifests/1.0.0": 404, "/v2/acme/app/blobs/uploads/x": 404, "/v2/../v2/acme/app/manifests/1.0.0": 400,
		"/v2/" + strings.Repeat("a", 256) + "/manifests/1": 400,
	} {
		if a := ask(t, "GET", url+path, ""); a.status != status || a.code(t) == "" {
			t.Errorf("%s: %v, expected %d", path, a, status)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	store := folder(t)
	for _, tag := range []string{"b", "A", "c", "a", "B"} {
		tagImage(t, store.Repo("acme/app"), tag, content, "")
	}
	tagImage(t, store.Repo("acme/untagged"), "", content, "")
	tagImage(t, store.Repo("Acme"), "1", content, "")
	srv, _ := start(t, store, Options{})
	for query, want := range map[string]string{
		"":               "A a B b c",
		"?n=2":           "A a; n=2 last=a",
		"?n=2&last=a":    "B b; n=2 last=b",
		"?n=2&last=b":    "c",
		"?last=B":        "b c",
		"?last=aa":       "B b c",
		"?last=z":        "",
		"?n=0":           "",
		"?n=5":           "A a B b c",
		"?n=99999999999": "A a B b c",
	} {
		a := ask(t, "GET", srv.URL+"/v2/acme/app/tags/list"+query, "")
		var list struct {
			Name string
			Tags []string
		}
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || list.Name != "acme/app" || list.Tags == nil {
			t.Fatalf("%s: %v: %v", query, a, err)
		}
		got := strings.Join(list.Tags, " ")
		if l := a.header.Get("Link"); l != "" {
			var n int
			var last string
			if _, err := fmt.Sscanf(strings.NewReplacer("&", " ", ">", " ").Replace(l), "</v2/acme/app/tags/list?last=%s n=%d ; rel=\"next\"", &last, &n); err != nil {
				t.Errorf("%s: link %s: %v", query, l, err)
			}
			got += fmt.Sprintf("; n=%d last=%s", n, last)
		}
		if got != want {
			t.Errorf("%s: %q, expected %q", query, got, want)
		}
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/untagged/tags/list", ""); a.status != 200 || a.body != `{"name":"acme/untagged","tags":[]}` {
		t.Error(a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/other/tags/list", ""); a.status != 404 || a.code(t) != "NAME_UNKNOWN" {
		t.Error(a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/app/tags/list?n=-1", ""); a.status != 400 {
		t.Error(a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/_catalog?n=1", ""); a.body != `{"repositories":["acme/app"]}` || !strings.Contains(a.header.Get("Link"), "last=acme%2Fapp") {
		t.Error(a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/_catalog?last=acme/app", ""); a.body != `{"repositories":["acme/untagged"]}` || a.header.Get("Link") != "" {
		t.Error(a)
	}
}

// A list that does not fit into one answer comes in several, each entry once.
func TestPages(t *testing.T) {
	t.Parallel()
	store := memory.New()
	repo := store.Repo("acme/app")
	subject := tagImage(t, repo, "1.0.0", content, "")
	const n = 2*MaxPage + 10
	for i := range n {
		more := fmt.Sprintf(`,"artifactType":"text/x-%d","subject":{"mediaType":%q,"digest":%q,"size":%d}`, i%2, subject.MediaType, subject.Digest, subject.Size)
		tagImage(t, repo, fmt.Sprintf("t%d", i), fmt.Sprint("layer ", i), more)
	}
	srv, _ := start(t, store, Options{})
	pages := func(path string) (all []string, answers int) {
		for path != "" {
			a := ask(t, "GET", srv.URL+path, "")
			var doc struct {
				Tags      []string
				Manifests []ociv1.Descriptor
			}
			if err := json.Unmarshal([]byte(a.body), &doc); err != nil || a.status != 200 {
				t.Fatalf("%s: %d, %v", path, a.status, err)
			}
			all = append(all, doc.Tags...)
			for _, d := range doc.Manifests {
				all = append(all, string(d.Digest))
			}
			answers++
			path, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		}
		return all, answers
	}
	for path, want := range map[string]int{
		"/v2/acme/app/tags/list":                                                      n + 1,
		"/v2/acme/app/referrers/" + string(subject.Digest):                            n,
		"/v2/acme/app/referrers/" + string(subject.Digest) + "?artifactType=text/x-1": n / 2,
	} {
		all, answers := pages(path)
		if len(all) != want || answers != (want-1)/MaxPage+1 {
			t.Errorf("%s: %d entries in %d answers, expected %d", path, len(all), answers, want)
		}
		slices.Sort(all)
		if len(slices.Compact(all)) != want {
			t.Errorf("%s: entries are there twice", path)
		}
	}
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	store := folder(t)
	repo := store.Repo("acme/app")
	subject := tagImage(t, repo, "1.0.0", content, "")
	refers := fmt.Sprintf(`,"subject":{"mediaType":%q,"digest":%q,"size":%d}`, subject.MediaType, subject.Digest, subject.Size)
	sbom := tagImage(t, repo, "", "sbom", refers+`,"artifactType":"text/sbom","annotations":{"a":"b"}`)
	plain := tagImage(t, repo, "", "plain", refers)
	srv, _ := start(t, store, Options{})
	at := srv.URL + "/v2/acme/app/referrers/"
	list := func(ref string) (answer, []ociv1.Descriptor) {
		a := ask(t, "GET", at+ref, "")
		var index ociv1.Index
		if err := json.Unmarshal([]byte(a.body), &index); err != nil || a.status != 200 || a.header.Get("Content-Type") != ociv1.MediaTypeImageIndex ||
			index.MediaType != ociv1.MediaTypeImageIndex || index.SchemaVersion != 2 || index.Manifests == nil {
			t.Fatalf("%s: %v: %v", ref, a, err)
		}
		return a, index.Manifests
	}
	a, all := list(string(subject.Digest))
	types := map[digest.Digest]string{}
	for _, d := range all {
		types[d.Digest] = d.ArtifactType
	}
	if len(all) != 2 || types[sbom.Digest] != "text/sbom" || types[plain.Digest] != "application/vnd.oci.empty.v1+json" || a.header.Get("OCI-Filters-Applied") != "" {
		t.Error(a)
	}
	a, some := list(string(subject.Digest) + "?artifactType=text/sbom")
	if len(some) != 1 || some[0].Annotations["a"] != "b" || some[0].Size != sbom.Size || a.header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Error(a)
	}
	if a, none := list(string(digest.FromString("unknown"))); len(none) != 0 {
		t.Error(a)
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/other/referrers/"+string(subject.Digest), ""); a.status != 200 {
		t.Error(a)
	}
	if a := ask(t, "GET", at+"1.0.0", ""); a.status != 400 || a.code(t) != "DIGEST_INVALID" {
		t.Error(a)
	}
}
