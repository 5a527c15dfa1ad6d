// SPDX-License-Identifier: Apache-2.0

package access

import (
	"archive/tar"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

func mavenRepo(t *testing.T) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	url, stop, err := fixture.Maven(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url, dir
}

func gav(url string, more ...any) map[string]any {
	m := map[string]any{"repoUrl": url, "groupId": "org.acme", "artifactId": "app", "version": "1.0"}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func mavenSpecOf(t *testing.T, members map[string]any) ocm.Spec {
	t.Helper()
	members["type"] = "maven"
	s, err := ocm.NewSpec(members)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMaven(t *testing.T) {
	t.Parallel()
	repo, _ := mavenRepo(t)
	wrong := []map[string]any{
		{"repoUrl": "file:///x"}, {"repoUrl": "h"}, {"repoUrl": "http://u:p@h"}, {"groupId": "../x"}, {"groupId": "a/b"}, {"artifactId": "../x"}, {"artifactId": ".."},
		{"version": "../1"}, {"version": "1/2"}, {"classifier": "a/b"}, {"extension": "jar/.."}, {"extension": ""},
	}
	for name, c := range map[string]struct {
		good     map[string]any
		want     []byte
		wantType string
	}{
		"file":       {gav(repo+"/open", "classifier", "", "extension", "jar", "other", 1), []byte("app-1.0.jar"), "application/java-archive"},
		"classifier": {gav(repo+"/open/", "classifier", "dist", "extension", "tar.gz"), []byte("app-1.0-dist.tar.gz"), "application/gzip"},
		"snapshot":   {gav(repo+"/open", "version", "2.0-SNAPSHOT", "classifier", "", "extension", "jar"), []byte("app-2.0-20260102.030405-2.jar"), "application/java-archive"},
		"locked":     {gav(repo+"/locked", "classifier", "", "extension", "pom"), []byte("app-1.0.pom"), "application/xml"},
		"all":        {gav(repo + "/locked"), nil, "application/x-tgz"},
		"bare":       {gav(repo + "/bare"), nil, "application/x-tgz"},
	} {
		t.Run(name, func(t *testing.T) {
			test := accesstest.Case{
				Method: Maven, Good: c.good, Want: c.want, WantType: c.wantType, Wrong: wrong,
				Env:     keysAt(t, `"type":"MavenRepository",`+atHost(repo)+`,"pathprefix":"locked/org.acme"`, `"username":"`+fixture.MavenUser+`","password":"`+fixture.MavenPassword+`"`),
				Missing: []map[string]any{{"version": "9.9"}, {"artifactId": "none"}, {"extension": "none"}},
				Host:    func(hostport string) map[string]any { return map[string]any{"repoUrl": "http://" + hostport} },
				Secrets: []string{fixture.MavenPassword, "not-the-secret"},
			}
			if strings.Contains(c.good["repoUrl"].(string), "locked") {
				test.Locked = keysAt(t, `"type":"MavenRepository",`+atHost(repo), `"username":"`+fixture.MavenUser+`","password":"not-the-secret"`)
			}
			accesstest.Run(t, test)
		})
	}
}

// unpacked lists the entries of a compressed archive, each with its text.
func unpacked(t *testing.T, c ocm.Content) (names []string) {
	t.Helper()
	rc, err := c.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	plain, gz, err := blob.Gunzip(rc)
	if err != nil || !gz {
		t.Fatal(gz, err)
	}
	r := tar.NewReader(plain)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != h.Name || h.Mode != 0o644 || h.ModTime.Unix() != 0 || h.Uname != "" {
			t.Errorf("%+v %q %v", h, text, err)
		}
		names = append(names, h.Name)
	}
}

func TestMavenFileSets(t *testing.T) {
	t.Parallel()
	repo, dir := mavenRepo(t)
	all := "app-1.0-dist.tar.gz app-1.0-sources.jar app-1.0.jar app-1.0.pom"
	for _, c := range []struct {
		good map[string]any
		want string
	}{
		{gav(repo + "/open"), all},
		{gav(repo + "/bare"), "app-1.0-sources.jar app-1.0.jar app-1.0.pom"},
		{gav(repo+"/open", "extension", "jar"), "app-1.0-sources.jar app-1.0.jar"},
		{gav(repo+"/bare", "extension", "jar"), "app-1.0-sources.jar app-1.0.jar"},
		{gav(repo+"/open", "extension", "tar.gz"), "app-1.0-dist.tar.gz"},
		{gav(repo+"/open", "classifier", ""), "app-1.0.jar app-1.0.pom"},
		{gav(repo+"/open", "classifier", "dist"), "app-1.0-dist.tar.gz"},
		{gav(repo+"/open", "version", "2.0-SNAPSHOT"), "app-2.0-20260102.030405-2.jar app-2.0-20260102.030405-2.pom"},
		{gav(repo+"/open", "version", "2.0-20260101.030405-1"), "app-2.0-20260101.030405-1-sources.jar app-2.0-20260101.030405-1.jar"},
	} {
		c1, err := Maven.Open(t.Context(), &ocm.Env{}, mavenSpecOf(t, c.good))
		if err != nil {
			t.Errorf("%v: %v", c.good, err)
			continue
		}
		if got := strings.Join(unpacked(t, c1), " "); got != c.want {
			t.Errorf("%v: expected %s, found %s", c.good, c.want, got)
		}
	}
	_, err := Maven.Open(t.Context(), &ocm.Env{}, mavenSpecOf(t, gav(repo+"/open", "extension", "gz")))
	if !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("found %v", err)
	}
	// the same from a folder
	c, err := MavenIn(t.Context(), nil, dir, ".", ocm.Spec{}, GAV{GroupID: "org.acme", ArtifactID: "app", Version: "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(unpacked(t, c), " "); got != all {
		t.Errorf("found %s", got)
	}
	over, err := Maven.Open(t.Context(), nil, mavenSpecOf(t, gav(repo+"/open")))
	if err != nil {
		t.Fatal(err)
	}
	// held for good: what was packed is what will be packed
	want := digest.Digest("sha256:492f98c9523d538e423f3a27742229881e0292fa25feda75f3c2f80b0a53c774")
	if a, b := digest.FromString(readAll(t, c)), digest.FromString(readAll(t, over)); a != b || a != want {
		t.Errorf("expected %s, found %s from the folder and %s from the server", want, a, b)
	}
}

func TestMavenSnapshotIsPinned(t *testing.T) {
	t.Parallel()
	repo, _ := mavenRepo(t)
	for want, members := range map[string]map[string]any{
		"2.0-20260102.030405-2": gav(repo+"/open", "version", "2.0-SNAPSHOT", "other", 1),
		"2.0-20260101.030405-1": gav(repo+"/open", "version", "2.0-SNAPSHOT", "other", 1, "classifier", "sources", "extension", "jar"),
	} {
		c, err := Maven.Open(t.Context(), &ocm.Env{}, mavenSpecOf(t, members))
		if err != nil {
			t.Fatal(err)
		}
		if c.Pinned == nil || !strings.Contains(string(c.Pinned.Raw), `"version":"`+want+`"`) || !strings.Contains(string(c.Pinned.Raw), `"other":1`) || strings.Contains(string(c.Pinned.Raw), "classifier") != (members["classifier"] != nil) {
			t.Errorf("expected %s, found %v", want, c.Pinned)
		}
	}
}

// TestMavenChecksums: the first of the checksums beside a file counts; a digest is known without the file.
func TestMavenChecksums(t *testing.T) {
	t.Parallel()
	repo, dir := mavenRepo(t)
	s := mavenSpecOf(t, gav(repo+"/open", "classifier", "", "extension", "jar"))
	c, err := Maven.Open(t.Context(), &ocm.Env{}, s)
	if err != nil {
		t.Fatal(err)
	}
	if c.Root.Digest != digest.FromString("app-1.0.jar") || c.Root.Size != 11 {
		t.Errorf("found %+v", c.Root)
	}
	file := filepath.Join(dir, "org/acme/app/1.0/app-1.0.jar")
	h512 := sha512.Sum512([]byte("other"))
	for _, step := range []struct {
		name, text string
		want       error
	}{
		{".sha256", digest.FromString("other").Encoded(), ocm.ErrDigest},
		{".sha256", "<html>", ocm.ErrInvalid},
		{".sha256", "", nil}, // taken away
		{".sha512", hex.EncodeToString(h512[:]), ocm.ErrDigest},
		{".sha512", "", nil},
		{".sha1", "SHA1(app-1.0.jar)= " + strings.ToUpper(shasum("other")), ocm.ErrDigest},
		{".sha1", "SHA1(app-1.0.jar)= " + strings.ToUpper(shasum("app-1.0.jar")), nil},
		{".sha1", strings.Repeat("x", maxMavenSum+1), ocm.ErrLimit},
		{".sha1", "", nil},
	} {
		err := os.WriteFile(file+step.name, []byte(step.text), 0o600)
		if step.text == "" {
			err = os.Remove(file + step.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := Maven.Open(t.Context(), &ocm.Env{}, s)
		if err == nil {
			err = readErr(t, c)
		}
		if !errors.Is(err, step.want) {
			t.Errorf("%s %.20s: expected %v, found %v", step.name, step.text, step.want, err)
		}
	}
	// in an archive, too
	if err := os.WriteFile(file+".sha1", []byte(shasum("other")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = Maven.Open(t.Context(), &ocm.Env{}, mavenSpecOf(t, gav(repo+"/open")))
	if err != nil {
		t.Fatal(err)
	}
	if err := readErr(t, c); !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "app-1.0.jar") {
		t.Errorf("found %v", err)
	}
}

// mavenProtocolServer answers what a test wants for paths; a body of many bytes never ends.
func mavenProtocolServer(t *testing.T, files map[string]string, size map[string]string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", size[r.URL.Path])
			return
		}
		if text == "endless" {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestMavenEndless(t *testing.T) {
	t.Parallel()
	file := "/org/acme/app/1.0/app-1.0.jar"
	size := map[string]string{file: "11"}
	for what, c := range map[string]struct {
		files map[string]string
		more  []any
		want  error
	}{
		"file":     {map[string]string{file: "endless"}, []any{"classifier", "", "extension", "jar"}, ocm.ErrDigest},
		"shorter":  {map[string]string{file: "short"}, []any{"classifier", "", "extension", "jar"}, ocm.ErrDigest},
		"in a set": {map[string]string{file: "endless"}, nil, ocm.ErrDigest},
		"listing":  {map[string]string{"/org/acme/app/1.0/": "endless"}, nil, ocm.ErrLimit},
		"metadata": {map[string]string{"/org/acme/app/1.0-SNAPSHOT/maven-metadata.xml": "endless"}, []any{"version", "1.0-SNAPSHOT"}, ocm.ErrLimit},
	} {
		c1, err := Maven.Open(t.Context(), &ocm.Env{}, mavenSpecOf(t, gav(mavenProtocolServer(t, c.files, size), c.more...)))
		if err == nil {
			err = readErr(t, c1)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: expected %v, found %v", what, c.want, err)
		}
	}
}

// TestMavenListing: a page leads nowhere but to files in its own folder; CVE-2026-40090 and its kind.
func TestMavenListing(t *testing.T) {
	t.Parallel()
	at, _ := url.Parse("http://h:1/repo/org/acme/app/1.0/")
	page := `<a href="app-1.0.jar">x</a> <A HREF='./app-1.0.pom'> <a href="/repo/org/acme/app/1.0/app-1.0-a.jar">
		<a href="http://h:1/repo/org/acme/app/1.0/app-1.0-b.jar"> <a href="http://evil/repo/org/acme/app/1.0/app-1.0-c.jar">
		<a href="../2.0/app-2.0.jar"> <a href="../../../../etc/passwd"> <a href="sub/app-1.0-d.jar"> <a href="?C=N;O=D"> <a href="..%2fapp-1.0-e.jar"> <a href="%zz"> <a href=app-1.0-f.jar>`
	got := mavenLinks(page, at)
	slices.Sort(got)
	if strings.Join(got, " ") != "app-1.0-a.jar app-1.0-b.jar app-1.0-f.jar app-1.0.jar app-1.0.pom" {
		t.Errorf("found %q", got)
	}
	odd := mavenProtocolServer(t, map[string]string{"/org/acme/app/1.0/": `<a href="app-1.0-%0a%1b.jar"><a href="app-1.0 x.jar"><a href="app-1.0-%5c..%5cx.jar">`}, nil)
	if _, err := Maven.Open(t.Context(), nil, mavenSpecOf(t, gav(odd))); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("found %v", err)
	}
	many := strings.Builder{}
	for i := range maxMavenFiles + 1 {
		many.WriteString(`<a href="app-1.0-` + strings.Repeat("x", i%100) + strings.Repeat("y", i/100) + `.jar">`)
	}
	srv := mavenProtocolServer(t, map[string]string{"/org/acme/app/1.0/": many.String()}, nil)
	if _, err := Maven.Open(t.Context(), nil, mavenSpecOf(t, gav(srv))); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("found %v", err)
	}
}

// TestCVE202633818XML: documents that nest for ever, or declare what their own names mean, are no metadata.
func TestCVE202633818XML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		strings.Repeat("<a>", 100_000): ocm.ErrLimit,
		`<!DOCTYPE m [<!ENTITY a "b"><!ENTITY c SYSTEM "file:///etc/passwd">]><metadata/>`: ocm.ErrInvalid,
		`<metadata><versioning>&nosuch;</versioning></metadata>`:                           ocm.ErrInvalid,
		`<metadata>`: ocm.ErrInvalid,
		``:           ocm.ErrInvalid,
		`<metadata><versioning><snapshot><localCopy>true</localCopy></snapshot></versioning></metadata>`: nil,
	} {
		if _, err := readMavenMetadata(text); !errors.Is(err, want) {
			t.Errorf("%.40s: expected %v, found %v", text, want, err)
		}
	}
	// a build is one of this very version
	for _, build := range []string{"../../other/9", "2.0-20260101.030405-1/../x", "3.0-20260101.030405-1", "2.0"} {
		srv := mavenProtocolServer(t, map[string]string{
			"/org/acme/app/2.0-SNAPSHOT/maven-metadata.xml": `<metadata><versioning><snapshotVersions><snapshotVersion><extension>jar</extension><value>` + build + `</value></snapshotVersion></snapshotVersions></versioning></metadata>`,
		}, nil)
		_, err := Maven.Open(t.Context(), nil, mavenSpecOf(t, gav(srv, "version", "2.0-SNAPSHOT", "classifier", "", "extension", "jar")))
		if !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: found %v", build, err)
		}
	}
}

func FuzzMaven(f *testing.F) {
	f.Add(`<metadata><versioning><snapshot><timestamp>20260102.030405</timestamp><buildNumber>2</buildNumber></snapshot></versioning></metadata>`, "2.0-SNAPSHOT", "jar")
	f.Add(`<a href="app-1.0.jar">`, "1.0", "")
	f.Add(`href=app-1.0.`, "1", "")
	f.Fuzz(func(t *testing.T, doc, version, extension string) {
		env := &ocm.Env{HTTP: roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host != "h" || !strings.HasPrefix(req.URL.Path, "/base/org/acme/app/") || slices.Contains(strings.Split(req.URL.EscapedPath(), "/"), "..") {
				t.Errorf("asked %s", req.URL)
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(doc)), ContentLength: int64(len(doc)), Request: req}, nil
		})}
		members := map[string]any{"type": "maven", "repoUrl": "http://h/base", "groupId": "org.acme", "artifactId": "app", "version": version}
		if extension != "" {
			members["extension"] = extension
		}
		s, err := ocm.NewSpec(members)
		if err != nil {
			return
		}
		if c, err := Maven.Open(t.Context(), env, s); err == nil {
			_ = readErr(t, c)
		}
		if _, err := mavenSum(doc, 20); err == nil && len(doc) < 40 {
			t.Error("a checksum out of nothing")
		}
	})
}
