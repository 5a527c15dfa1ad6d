// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/access"
	"ocm/blob"
	"ocm/input"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

// wgetLogin is a user name and password for every consumer of a type.
type wgetLogin struct{ typ, user, password string }

func (l wgetLogin) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] != l.typ {
		return nil, ocm.ErrNotFound
	}
	return ocm.Secret{"username": l.user, "password": l.password}, nil
}

func TestWget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	if err := os.WriteFile(filepath.Join(dir, "app.tgz"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	url, stop, err := fixture.FileServer(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for _, m := range []ocm.Method{access.Wget, inputOf(t, "wget")} {
		accesstest.Run(t, accesstest.Case{
			Method:   m,
			Env:      &ocm.Env{Credentials: wgetLogin{"Wget", fixture.FileUser, fixture.FilePassword}},
			Good:     map[string]any{"url": url + "/locked/app.tgz?token=s3cr3t", "header": map[string][]string{"Accept": {"*/*"}}},
			Want:     want,
			WantType: "application/gzip",
			Missing:  []map[string]any{{"url": url + "/locked/nothing"}, {"url": url + "/nothing?token=s3cr3t"}},
			Wrong: []map[string]any{
				{"url": ""}, {"url": "ftp://example.org/x"}, {"url": "https://"}, {"url": "://s3cr3t"}, {"url": "https://u:s3cr3t@example.org/x"}, {"url": "relative/path"}, {"url": 7},
				{"verb": "DELETE"}, {"verb": "get"}, {"body": "*"}, {"noRedirect": "no"},
				{"mediaType": "application/vnd.oci.image.manifest.v1+json"},
				{"header": map[string][]string{"authorization": {"Bearer s3cr3t"}}}, {"header": map[string][]string{"Cookie": {"s3cr3t"}}}, {"header": map[string][]string{"PRIVATE-TOKEN": {"s3cr3t"}}},
				{"header": map[string][]string{"x-http-method-override": {"DELETE"}}}, {"header": map[string][]string{"Range": {"bytes=0-1"}}}, {"header": map[string][]string{"Host": {"other"}}}, {"header": map[string][]string{"a b": {"x"}}}, {"header": map[string][]string{"A": {"x\r\nB: y"}}},
			},
			Host:    func(at string) map[string]any { return map[string]any{"url": "http://" + at + "/app.tgz?token=s3cr3t"} },
			Locked:  &ocm.Env{Credentials: wgetLogin{"Wget", "alice", "wr0ng"}},
			Secrets: []string{"s3cr3t", "wr0ng", fixture.FilePassword},
		})
	}
}

func inputOf(t *testing.T, name string) ocm.Method {
	t.Helper()
	all := input.All()
	i := slices.IndexFunc(all, func(m ocm.Method) bool { return slices.Contains(m.Names, name) })
	if i < 0 {
		t.Fatalf("there is no input %s", name)
	}
	return all[i]
}

// open opens an access of type wget.
func openWget(t *testing.T, env *ocm.Env, members map[string]any) (ocm.Content, error) {
	t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	if members["type"] == nil {
		raw = append([]byte(`{"type":"wget",`), raw[1:]...)
	}
	return access.Wget.Open(t.Context(), env, spec(t, string(raw)))
}

func readWget(t *testing.T, members map[string]any) (string, string, error) {
	t.Helper()
	c, err := openWget(t, nil, members)
	if err != nil {
		return "", "", err
	}
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		return "", "", err
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	return string(raw), c.Root.MediaType, err
}

func TestWgetSpellings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, stop, err := fixture.FileServer(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for name, tt := range map[string]struct {
		members map[string]any
		want    string
		kind    error
	}{
		"older":          {map[string]any{"URL": url + "/a.txt", "other": 1}, "hello", nil},
		"both":           {map[string]any{"URL": url + "/a.txt", "url": url + "/a.txt"}, "hello", nil},
		"contradiction":  {map[string]any{"URL": url + "/a.txt", "url": url + "/b.txt"}, "", ocm.ErrInvalid},
		"redirect":       {map[string]any{"url": url + "/moved/a.txt#part"}, "hello", nil},
		"noRedirect":     {map[string]any{"url": url + "/moved/a.txt", "noRedirect": true}, "", ocm.ErrDenied},
		"noredirect":     {map[string]any{"url": url + "/moved/a.txt", "noredirect": true}, "", ocm.ErrDenied},
		"post":           {map[string]any{"url": url + "/echo", "verb": "POST", "body": "aGVsbG8="}, "hello", nil},
		"not logged in":  {map[string]any{"url": url + "/locked/a.txt"}, "", ocm.ErrDenied},
		"post elsewhere": {map[string]any{"url": url + "/moved/echo", "verb": "POST", "body": "aGVsbG8="}, "", ocm.ErrDenied},
	} {
		got, _, err := readWget(t, tt.members)
		if got != tt.want || !errors.Is(err, tt.kind) {
			t.Errorf("%s: expected %q, %v, found %q, %v", name, tt.want, tt.kind, got, err)
		}
	}
}

// What a server says about its content decides the media type, but never that it is an image.
func TestWgetMediaType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ path, contentType, given, want string }{
		{"/a.tgz", "text/plain; charset=utf-8", "", "text/plain"},
		{"/a.tgz", "Text/X-Own;bad=\"", "", "text/x-own"},
		{"/a.tgz", "", "", "application/gzip"},
		{"/a.tgz", "nonsense", "", "application/gzip"},
		{"/a", "a/b/c", "", "application/octet-stream"},
		{"/", "", "", "application/octet-stream"},
		{"/a.json", "application/vnd.oci.image.index.v1+json", "", "application/json"},
		{"/a.tgz", "text/plain", "application/x-own", "application/x-own"},
	} {
		var asked []string
		var mu sync.Mutex
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.Method)
			mu.Unlock()
			w.Header()["Content-Type"] = []string{tt.contentType}
			if tt.contentType == "" {
				w.Header()["Content-Type"] = nil
			}
		}))
		t.Cleanup(srv.Close)
		c, err := openWget(t, nil, map[string]any{"url": srv.URL + tt.path, "mediaType": tt.given})
		if err != nil || c.Root.MediaType != tt.want {
			t.Errorf("%+v: found %q, %v", tt, c.Root.MediaType, err)
		}
		if want := map[bool]int{true: 0, false: 1}[tt.given != ""]; len(asked) != want {
			t.Errorf("%+v: expected %d requests, found %v", tt, want, asked)
		}
	}
}

// A server that does not know HEAD is asked for the content.
func TestWgetWithoutHead(t *testing.T) {
	t.Parallel()
	for code, works := range map[int]bool{400: true, 403: true, 405: true, 501: true, 401: false, 404: false, 500: false} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x-own")
			if r.Method == http.MethodHead {
				w.WriteHeader(code)
			}
		}))
		t.Cleanup(srv.Close)
		if c, err := openWget(t, nil, map[string]any{"url": srv.URL}); works != (err == nil) || works && c.Root.MediaType != "text/x-own" {
			t.Errorf("%d: found %q, %v", code, c.Root.MediaType, err)
		}
	}
}

// A digest that the server tells without a download is the content's, and a server that lies is found out.
func TestWgetDigest(t *testing.T) {
	t.Parallel()
	const right = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
	for name, tt := range map[string]struct {
		header, value string
		want          digest.Digest
		kind          error
	}{
		"RFC 9530":  {"Repr-Digest", "sha-512=:AAAA:, sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", right, nil},
		"RFC 3230":  {"Digest", "SHA-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", right, nil},
		"artifacts": {"X-Checksum-Sha256", "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824", right, nil},
		"two":       {"Repr-Digest", "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:, sha-256=:AAAA:", "", nil},
		"nonsense":  {"X-Checksum-Sha256", "../../x", "", nil},
		"a lie":     {"X-Checksum-Sha256", strings.Repeat("0", 64), digest.Digest("sha256:" + strings.Repeat("0", 64)), ocm.ErrDigest},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(tt.header, tt.value)
			io.WriteString(w, "hello")
		}))
		t.Cleanup(srv.Close)
		c, err := openWget(t, nil, map[string]any{"url": srv.URL})
		if err != nil || c.Root.Digest != tt.want {
			t.Errorf("%s: found %s, %v", name, c.Root.Digest, err)
		}
		if _, _, err := readWget(t, map[string]any{"url": srv.URL}); !errors.Is(err, tt.kind) {
			t.Errorf("%s: expected %v, found %v", name, tt.kind, err)
		}
	}
}

func FuzzWget(f *testing.F) {
	f.Add("https://example.org/a", "Accept", "x", "text/plain; a=b", "sha-256=:AAAA:", "GET")
	f.Add("http://[fe80::1%25eth0]/", "Cookie", "x\r\n", "a/b", "sha-256=", "POST")
	f.Fuzz(func(t *testing.T, url, name, value, contentType, dig, verb string) {
		env := &ocm.Env{HTTP: says{http.Header{"Content-Type": {contentType}, "Repr-Digest": {dig}, "Digest": {dig}, "X-Checksum-Sha256": {dig}}}}
		s, err := ocm.NewSpec(map[string]any{"type": "wget", "url": url, "verb": verb, "header": map[string][]string{name: {value}}})
		if err != nil {
			return
		}
		c, err := access.Wget.Open(t.Context(), env, s)
		if err != nil {
			return
		}
		if c.Root.MediaType == "" || strings.ContainsAny(c.Root.MediaType, " ;\r\n") || blob.IsManifest(c.Root.MediaType) {
			t.Errorf("media type %q", c.Root.MediaType)
		}
		if c.Root.Digest != "" && blob.CheckDigest(c.Root.Digest) != nil {
			t.Errorf("digest %q", c.Root.Digest)
		}
	})
}

// says is a transport that answers everything with the same headers.
type says struct{ header http.Header }

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Header: s.header, Body: http.NoBody, Request: r}, nil
}
