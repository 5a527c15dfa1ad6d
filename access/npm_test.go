// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/web"
)

// npmFolder is a package that can be published.
func npmFolder(t *testing.T, name, version string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{"package.json": fmt.Sprintf(`{"name":%q,"version":%q,"license":"Apache-2.0"}`, name, version), "index.js": "module.exports = 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func verdaccio(t *testing.T, packages ...string) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	url, stop, err := fixture.Verdaccio(dir, packages...)
	if errors.Is(err, fixture.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url, dir
}

func TestNPM(t *testing.T) {
	t.Parallel()
	url, dir := verdaccio(t, npmFolder(t, "plain", "1.0.0"), npmFolder(t, "@locked/scoped", "1.2.3"))
	for name, c := range map[string]struct {
		good map[string]any
		file string
	}{
		"plain":  {map[string]any{"registry": url + "/", "package": "plain", "version": "1.0.0", "other": 1}, "storage/plain/plain-1.0.0.tgz"},
		"scoped": {map[string]any{"registry": url, "package": "@locked/scoped", "version": "1.2.3"}, "storage/@locked/scoped/scoped-1.2.3.tgz"},
		"tag":    {map[string]any{"registry": url, "package": "plain", "version": "latest"}, "storage/plain/plain-1.0.0.tgz"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(dir, c.file))
			if err != nil {
				t.Fatal(err)
			}
			test := accesstest.Case{
				Method:   NPM,
				Env:      keysAt(t, `"type":"NpmRegistry",`+atHost(url), `"username":"`+fixture.NPMUser+`","password":"`+fixture.NPMPassword+`"`),
				Good:     c.good,
				Want:     want,
				WantType: "application/x-tgz",
				Missing:  []map[string]any{{"version": "9.9.9"}, {"version": "nosuchtag"}},
				Wrong: []map[string]any{
					{"registry": "file:///x"}, {"registry": "h"}, {"registry": "http://u:p@h"}, {"package": "../x"}, {"package": "a/b/c"}, {"package": "@a/.."}, {"version": "1/../2"}, {"version": ".."},
				},
				Host:    func(hostport string) map[string]any { return map[string]any{"registry": "http://" + hostport} },
				Secrets: []string{fixture.NPMPassword, "not-the-secret"},
			}
			if name == "scoped" {
				test.Locked = keysAt(t, `"type":"NpmRegistry",`+atHost(url), `"username":"`+fixture.NPMUser+`","password":"not-the-secret"`)
			}
			accesstest.Run(t, test)
		})
	}
	t.Run("pinned", func(t *testing.T) {
		c, err := NPM.Open(t.Context(), nil, specOf(t, `{"type":"NPM/v1","registry":"`+url+`","package":"plain","version":"latest","other":{"a":1}}`))
		if err != nil {
			t.Fatal(err)
		}
		if c.Pinned == nil || string(c.Pinned.Raw) != `{"type":"NPM/v1","registry":"`+url+`","package":"plain","version":"1.0.0","other":{"a":1}}` {
			t.Errorf("found %s", c.Pinned.Raw)
		}
	})
	// as configurations of the older tool have it
	for _, identity := range []string{
		`"type":"Registry.npmjs.com",` + atHost(url), `"type":"NpmRegistry",` + atHost(url) + `,"pathprefix":"@locked/scoped"`,
	} {
		env := keysAt(t, identity, `"username":"`+fixture.NPMUser+`","password":"`+fixture.NPMPassword+`"`)
		if _, err := NPM.Open(t.Context(), env, specOf(t, `{"type":"npm","registry":"`+url+`","package":"@locked/scoped","version":"1.2.3"}`)); err != nil {
			t.Errorf("%s: %v", identity, err)
		}
	}
}

// npmProtocolServer is a registry that tells what a test wants, with %s as its own address; it notes credentials.
func npmProtocolServer(t *testing.T, files map[string]string) (url string, auth func() string) {
	t.Helper()
	var got strings.Builder
	var base string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.WriteString(r.URL.Path + " " + r.Header.Get("Authorization") + "\n")
		text, ok := files[r.URL.EscapedPath()]
		switch {
		case !ok:
			http.NotFound(w, r)
		case text == "endless":
			for chunk := bytes.Repeat([]byte("x"), 1<<16); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		default:
			io.WriteString(w, strings.ReplaceAll(text, "%s", base))
		}
	}))
	t.Cleanup(srv.Close)
	base = srv.URL
	return srv.URL, func() string { srv.Close(); return got.String() }
}

func sri(body string) string {
	h := sha512.Sum512([]byte(body))
	return "sha512-" + base64.StdEncoding.EncodeToString(h[:])
}

func shasum(body string) string {
	h := sha1.Sum([]byte(body))
	return hex.EncodeToString(h[:])
}

func npmDist(members string) map[string]string {
	return map[string]string{"/p/1.0.0": `{"name":"p","version":"1.0.0","dist":{` + members + `}}`, "/p.tgz": "content", "/endless.tgz": "endless"}
}

func npmAt(url string) string {
	return `{"type":"npm","registry":"` + url + `","package":"p","version":"1.0.0"}`
}

// TestNPMIntegrity: what does not have the checksums that the registry tells is no package.
func TestNPMIntegrity(t *testing.T) {
	t.Parallel()
	sha256Of := "sha256-" + sumOf("content")
	for what, c := range map[string]struct {
		dist string
		want error
	}{
		"good":                   {`"tarball":"%s/p.tgz","integrity":"` + sri("content") + `","shasum":"` + shasum("content") + `"`, nil},
		"sha1 only":              {`"tarball":"%s/p.tgz","shasum":"` + shasum("content") + `"`, nil},
		"sha256":                 {`"tarball":"%s/p.tgz","integrity":"` + sha256Of + `"`, nil},
		"one of two":             {`"tarball":"%s/p.tgz","integrity":"` + sri("other") + " " + sri("content") + `?opt"`, nil},
		"wrong":                  {`"tarball":"%s/p.tgz","integrity":"` + sri("other") + `"`, ocm.ErrDigest},
		"weaker one right":       {`"tarball":"%s/p.tgz","integrity":"` + sha256Of + " " + sri("other") + `"`, ocm.ErrDigest},
		"only the strongest":     {`"tarball":"%s/p.tgz","integrity":"sha1-qqqqqqqqqqqqqqqqqqqqqqqqqqo= ` + sri("content") + `"`, nil},
		"shasum wrong":           {`"tarball":"%s/p.tgz","integrity":"` + sri("content") + `","shasum":"` + shasum("other") + `"`, ocm.ErrDigest},
		"sha256 wrong":           {`"tarball":"%s/p.tgz","integrity":"sha256-` + sumOf("other") + `"`, ocm.ErrDigest},
		"none":                   {`"tarball":"%s/p.tgz"`, ocm.ErrInvalid},
		"unknown algorithm only": {`"tarball":"%s/p.tgz","integrity":"md5-AAAA"`, ocm.ErrInvalid},
		"unknown and a weaker":   {`"tarball":"%s/p.tgz","integrity":"sha3-AAAA","shasum":"` + shasum("content") + `"`, ocm.ErrInvalid},
		"disguised metadata":     {`"tarball":"http://169.254.169.２５４/p.tgz","shasum":"` + shasum("content") + `"`, ocm.ErrDenied},
		"malformed":              {`"tarball":"%s/p.tgz","integrity":"sha512-AAAA"`, ocm.ErrInvalid},
		"malformed shasum":       {`"tarball":"%s/p.tgz","shasum":"zz"`, ocm.ErrInvalid},
		"no archive":             {`"shasum":"` + shasum("content") + `"`, ocm.ErrInvalid},
		"archive is no address":  {`"tarball":"../p.tgz","shasum":"` + shasum("content") + `"`, ocm.ErrInvalid},
		"archive is gone":        {`"tarball":"%s/gone.tgz","shasum":"` + shasum("content") + `"`, ocm.ErrNotFound},
		"credentials in address": {`"tarball":"http://u:p@127.0.0.1/p.tgz","shasum":"` + shasum("content") + `"`, ocm.ErrDenied},
		"cloud metadata":         {`"tarball":"http://169.254.169.254/p.tgz","shasum":"` + shasum("content") + `"`, ocm.ErrDenied},
	} {
		url, _ := npmProtocolServer(t, npmDist(c.dist))
		got, err := NPM.Open(t.Context(), &ocm.Env{}, specOf(t, npmAt(url)))
		if err == nil {
			err = readErr(t, got)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: expected %v, found %v", what, c.want, err)
		}
		if what == "sha256" && got.Root.Digest != digest.FromString("content") {
			t.Errorf("%s: found %+v", what, got.Root)
		}
	}
}

func TestNPMDocuments(t *testing.T) {
	t.Parallel()
	dist := `"dist":{"tarball":"%s/p.tgz","shasum":"` + shasum("content") + `"}`
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for what, c := range map[string]struct {
		files map[string]string
		want  error
	}{
		"package only":      {map[string]string{"/p": `{"readme":[{"a":[1]}],"versions":{"0.9.0":{"dist":{}},"1.0.0":{"name":"p","version":"1.0.0",` + dist + `}}}`, "/p.tgz": "content"}, nil},
		"version not there": {map[string]string{"/p": `{"versions":{"2.0.0":{}}}`}, ocm.ErrNotFound},
		"no versions":       {map[string]string{"/p": `{"x":1}`}, ocm.ErrNotFound},
		"no object":         {map[string]string{"/p": `[]`}, ocm.ErrInvalid},
		"cut off":           {map[string]string{"/p": `{"versions":{"1.0.0":{`}, ocm.ErrInvalid},
		"a web page":        {map[string]string{"/p/1.0.0": `<html>`}, ocm.ErrInvalid},
		"duplicates":        {map[string]string{"/p/1.0.0": `{"name":"p","name":"q","version":"1.0.0",` + dist + `}`}, ocm.ErrInvalid},
		"other package":     {map[string]string{"/p/1.0.0": `{"name":"q","version":"1.0.0",` + dist + `}`}, ocm.ErrInvalid},
		"other version":     {map[string]string{"/p/1.0.0": `{"name":"p","version":"1.0.1",` + dist + `}`}, ocm.ErrInvalid},
		"deep":              {map[string]string{"/p": `{"x":` + deep + `}`}, ocm.ErrInvalid},
		"endless version":   {map[string]string{"/p/1.0.0": "endless"}, ocm.ErrLimit},
	} {
		url, _ := npmProtocolServer(t, c.files)
		got, err := NPM.Open(t.Context(), &ocm.Env{}, specOf(t, npmAt(url)))
		if err == nil {
			err = readErr(t, got)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: expected %v, found %v", what, c.want, err)
		}
	}
}

// An endless document ends, whether it is one value or many.
func TestNPMEndlessPackage(t *testing.T) {
	t.Parallel()
	for what, head := range map[string]string{"version": `{"versions":{"1.0.0":{"x":"`, "before": `{"x":"`} {
		rest := &fill{1 << 40}
		if _, err := npmFind(io.MultiReader(strings.NewReader(head), rest), "1.0.0"); !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("%s: found %v", what, err)
		}
		if read := 1<<40 - rest.n; what == "version" && read > 2*maxNPMVersion {
			t.Errorf("%s: read %d bytes", what, read)
		}
	}
}

// fill is a reader of many letters.
type fill struct{ n int64 }

func (f *fill) Read(p []byte) (int, error) {
	if f.n -= int64(len(p)); f.n < 0 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestCVE202445336ArchiveElsewhere (compare CVE-2024-45336 and GHSA-vh4v-2xq2-g5cg): credentials of a registry stay there when its
// document leads to another host.
func TestCVE202445336ArchiveElsewhere(t *testing.T) {
	t.Parallel()
	other, seen := npmProtocolServer(t, map[string]string{"/p.tgz": "content"})
	url, own := npmProtocolServer(t, npmDist(`"tarball":"`+other+`/p.tgz","shasum":"`+shasum("content")+`"`))
	env := keysAt(t, `"type":"NpmRegistry",`+atHost(url), `"token":"very-secret"`)
	c, err := NPM.Open(t.Context(), env, specOf(t, npmAt(url)))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "content" {
		t.Errorf("found %q", got)
	}
	if got := seen(); got != "/p.tgz \n" {
		t.Errorf("the other host got %q", got)
	}
	if got := own(); !strings.Contains(got, "Bearer very-secret") {
		t.Errorf("the registry got %q", got)
	}
}

func TestArchiveElsewhereRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		denied   bool
	}{
		{"https://r.example", "https://cdn.example/x", false}, {"http://127.0.0.1:1", "http://127.0.0.1:2", false}, {"http://r.example", "https://r.example", false},
		{"https://r.example", "http://cdn.example", true}, {"https://r.example", "https://127.0.0.1", true}, {"https://r.example", "https://localhost:1", true},
		{"https://r.example", "https://[::1]", true}, {"https://r.example", "https://[::ffff:127.0.0.1]", true}, {"http://127.0.0.1", "http://169.254.169.254", true},
		{"http://127.0.0.1", "http://0.0.0.0", true}, {"https://r.example", "https://u@cdn.example", true},
		{"https://r.example", "https://localhost.:1", true}, {"https://r.example", "https://127.1", true}, {"https://r.example", "https://ｌocalhost", true}, {"https://r.example", "https://metadata.google.internal", true},
	} {
		from, err := url.Parse(c.from)
		if err != nil {
			t.Fatal(err)
		}
		client, err := web.For(t.Context(), nil, from)
		if err != nil {
			t.Fatal(err)
		}
		var doc npmDocument
		doc.Dist.Tarball, doc.Dist.Shasum = c.to, shasum("content")
		if _, err := npmArchive(client, from, doc); errors.Is(err, ocm.ErrDenied) != c.denied || !c.denied && err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

func FuzzNPM(f *testing.F) {
	f.Add(`{"name":"p","version":"1.0.0","dist":{"tarball":"http://h/p","integrity":"sha512-AAAA sha1-x","shasum":"00"}}`, "1.0.0")
	f.Add(`{"versions":{"1.0.0":{"name":"p"}}}`, "1.0.0")
	f.Fuzz(func(t *testing.T, doc, version string) {
		raw, err := npmFind(strings.NewReader(doc), version)
		if err == nil && !strings.Contains(doc, string(raw)) {
			t.Errorf("found %q", raw)
		}
		env := &ocm.Env{HTTP: roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(doc)), ContentLength: -1, Request: req}, nil
		})}
		s, err := ocm.NewSpec(map[string]any{"type": "npm", "registry": "http://h/base", "package": "p", "version": version})
		if err != nil {
			return
		}
		c, err := NPM.Open(t.Context(), env, s)
		if err == nil && readErr(t, c) == nil && c.Root.Digest == "" && !strings.Contains(doc, shasum(doc)) && !strings.Contains(doc, sri(doc)) {
			t.Error("read without a checksum")
		}
	})
}
