// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/web"
)

const someDigest = "sha256:9717cda41c478af11cba7ed29f4aa3e4882bab769d006788169cbccafc0fcd05"

func TestParseReference(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Reference{
		"alpine":                          {"", "docker.io", "library/alpine", "", ""},
		"alpine:3.20":                     {"", "docker.io", "library/alpine", "3.20", ""},
		"docker.io/alpine":                {"", "docker.io", "library/alpine", "", ""},
		"index.docker.io/alpine":          {"", "docker.io", "library/alpine", "", ""},
		"grafana/loki:3":                  {"", "docker.io", "grafana/loki", "3", ""},
		"ghcr.io/acme/app":                {"", "ghcr.io", "acme/app", "", ""},
		"GHCR.io/acme/app:V1":             {"", "ghcr.io", "acme/app", "V1", ""},
		"localhost/app":                   {"", "localhost", "app", "", ""},
		"localhost:5000/app:1":            {"", "localhost:5000", "app", "1", ""},
		"http://localhost:5000/app:1":     {"http", "localhost:5000", "app", "1", ""},
		"http://registry/app":             {"http", "registry", "app", "", ""},
		"oci://ghcr.io/a/b:1":             {"oci", "ghcr.io", "a/b", "1", ""},
		"HTTPS://ghcr.io/a/b":             {"https", "ghcr.io", "a/b", "", ""},
		"[::1]:5000/app":                  {"", "[::1]:5000", "app", "", ""},
		"https://[2001:db8::1]/app":       {"https", "[2001:db8::1]", "app", "", ""},
		"ghcr.io/a:1@" + someDigest:       {"", "ghcr.io", "a", "1", someDigest},
		"alpine@" + someDigest:            {"", "docker.io", "library/alpine", "", someDigest},
		"ghcr.io/a/b__c/d.e/f-g:1_x.y-Z0": {"", "ghcr.io", "a/b__c/d.e/f-g", "1_x.y-Z0", ""},
	} {
		got, err := ParseReference(in)
		if err != nil || got != want {
			t.Errorf("%s: expected %+v, found %+v, %v", in, want, got, err)
		}
		if again, err := ParseReference(got.String()); err != nil || again != got {
			t.Errorf("%s: %s is read as %+v, %v", in, got, again, err)
		}
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "/", ":", "@", "https://", "https://ghcr.io", "https://ghcr.io/", "ftp://ghcr.io/a", "ghcr.io/", "ghcr.io/A", "ghcr.io/a:", "ghcr.io/a:-", "ghcr.io/a:b c",
		"ghcr.io/a:" + strings.Repeat("a", 129), "ghcr.io/a@", "ghcr.io/a@sha256:abc", "ghcr.io/a@md5:d41d8cd98f00b204e9800998ecf8427e", "ghcr.io/a@" + someDigest + "@" + someDigest,
		"ghcr.io/../a", "ghcr.io//a", "ghcr.io/a?b=c", "ghcr.io/a#b", "ghcr.io:0/a", "ghcr.io:99999/a", "ghcr.io:/a", "ghcr.io:x/a", "-a.io/a", "a..io/a", "[::1/a", "[a]:1/a", "[fe80::1%eth0]/a",
		"ghcr.io/a\x00", "ghcr.io/a\n", "https://user@ghcr.io/a", "http://http://ghcr.io/a", "a b/c", "ghcr.io/" + strings.Repeat("a/", 300) + "a",
	} {
		if got, err := ParseReference(in); !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("%q: expected it to be refused, found %+v, %v", in, got, err)
		}
	}
	_, err := ParseReference(strings.Repeat("a", MaxReference+1))
	wantErr(t, err, ocm.ErrLimit)
}

func TestOpenAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		base, sub string
		plain     bool
		text      string
		requests  string
	}{
		{"ghcr.io", "", false, "ghcr.io", "https://ghcr.io"},
		{"ghcr.io/acme", "", false, "ghcr.io/acme", "https://ghcr.io"},
		{"https://ghcr.io/acme/", "/x/y/", false, "ghcr.io/acme/x/y", "https://ghcr.io"},
		{"oci://GHCR.io:443", "x", false, "ghcr.io:443/x", "https://ghcr.io:443"},
		{"registry.corp:5000", "", true, "http://registry.corp:5000", "http://registry.corp:5000"},
		{"https://registry.corp", "", true, "registry.corp", "https://registry.corp"},
		{"http://registry.corp", "", false, "http://registry.corp", "http://registry.corp"},
		{"localhost:5000", "", false, "http://localhost:5000", "http://localhost:5000"},
		{"127.0.0.2", "", false, "http://127.0.0.2", "http://127.0.0.2"},
		{"[::1]:5000/a", "", false, "http://[::1]:5000/a", "http://[::1]:5000"},
		{"https://localhost:5000", "", false, "localhost:5000", "https://localhost:5000"},
		{"docker.io/acme", "", false, "docker.io/acme", "https://registry-1.docker.io"},
	} {
		s, err := Open(nil, tt.base, tt.sub, Options{PlainHTTP: tt.plain})
		if err != nil {
			t.Fatalf("%s: %v", tt.base, err)
		}
		if s.String() != tt.text || s.session.origin.String() != tt.requests {
			t.Errorf("%s %s: expected %s with requests to %s, found %s, %s", tt.base, tt.sub, tt.text, tt.requests, s, s.session.origin)
		}
	}
	for _, bad := range []string{"", "/", "ftp://a", "https://", "a b", "ghcr.io/A", "ghcr.io/a?b", "ghcr.io/../a", "u@ghcr.io", "ghcr.io:x", "http://http://a", strings.Repeat("a", MaxReference+1)} {
		if _, err := Open(nil, bad, "", Options{}); !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("%q: expected it to be refused, found %v", bad, err)
		}
	}
	if _, err := Open(nil, "ghcr.io", "../x", Options{}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("sub path: expected it to be refused, found %v", err)
	}
	s, _ := Open(nil, "ghcr.io", "acme", Options{})
	if got := s.Repo("component-descriptors/acme.org/app").Origin(); got != "ghcr.io/acme/component-descriptors/acme.org/app" {
		t.Errorf("origin: found %s", got)
	}
}

func TestParseChallenge(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`Bearer realm="https://a/token",service="s",scope="repository:a:pull,push"`: "bearer https://a/token s repository:a:pull,push",
		`bearer realm=https://a/token , service = s`:                                "bearer https://a/token s ",
		`Bearer realm="a \"quoted\" \\ one",realm="second"`:                         `bearer a "quoted" \ one  `,
		`Bearer realm="open`: "bearer   ",
		`Bearer`:             "bearer   ",
		``:                   "   ",
		`Bearer =x,realm=y`:  "bearer   ",
		`Bearer realm="x"` + strings.Repeat(" ", MaxChallenge) + `,service="beyond"`: "bearer x  ",
	} {
		c := parseChallenge(in)
		if got := strings.Join([]string{c.scheme, c.params["realm"], c.params["service"], c.params["scope"]}, " "); got != want {
			t.Errorf("%.80q: expected %q, found %q", in, want, got)
		}
	}
	if c, ok := pickChallenge([]string{`Negotiate`, `Basic realm="x"`, `Bearer realm="y"`}); !ok || c.scheme != "bearer" {
		t.Errorf("expected Bearer to win, found %v", c)
	}
	if c, ok := pickChallenge([]string{`Negotiate`}); ok {
		t.Errorf("expected that nothing fits, found %v", c)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"alpine", "ghcr.io/a/b:1@" + someDigest, "http://[::1]:5000/a", "docker.io/library/a", "a:b:c/d@e", "https://docker.io/a", "localhost"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseReference(s)
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Fatalf("%q: unexpected kind of error: %v", s, err)
			}
			return
		}
		if again, err := ParseReference(ref.String()); err != nil || again != ref {
			t.Fatalf("%q: %s is read as %+v, %v", s, ref, again, err)
		}
		if strings.ContainsAny(ref.Host+ref.Repository+ref.Tag, "@?#% \\\x00\n") || strings.Contains("/"+ref.Repository+"/", "/../") {
			t.Fatalf("%q: %+v", s, ref)
		}
		if ref.Digest != "" && blob.CheckDigest(ref.Digest) != nil {
			t.Fatalf("%q: %s", s, ref.Digest)
		}
		if _, err := OpenRepository(nil, ref, Options{}); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"ghcr.io", "https://ghcr.io/acme", "http://[::1]:5000/a/b", "oci://a", "u:p@h"} {
		f.Add(s, "sub/path")
	}
	f.Fuzz(func(t *testing.T, base, sub string) {
		s, err := Open(nil, base, sub, Options{})
		if err != nil {
			return
		}
		if u := s.session.origin; u.Host == "" || u.Path != "" || u.User != nil || strings.ContainsAny(u.Host, "@/?#%") {
			t.Fatalf("%q: requests go to %q", base, u)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer realm="https://a/token",service="s"`, `Basic realm=x`, `Bearer realm="\"`, "Bearer a=b c=d,,"} {
		f.Add(s)
	}
	s, err := Open(nil, "https://registry.example.org", "", Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, h string) {
		c := parseChallenge(h)
		u, err := s.session.tokenService(c.params["realm"], true)
		if err == nil && (u.Scheme != "https" || u.Hostname() != "registry.example.org" && !strings.HasSuffix(strings.ToLower(u.Hostname()), "example.org")) {
			t.Fatalf("%q: credentials would be sent to %s", h, u)
		}
	})
}

// FuzzAnswer plays a registry that says anything.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/vnd.oci.image.index.v1+json", someDigest, `<x>; rel="next"`, `{"tags":["1"],"manifests":[]}`)
	f.Add(401, "text/html", "sha256:..", `Bearer realm="x"`, `{"errors":[{"code":"A"}]}`)
	f.Add(307, "", "", "", "")
	f.Fuzz(func(t *testing.T, code int, contentType, dig, link, body string) {
		env := &ocm.Env{HTTP: scripted{code, contentType, dig, link, body}}
		s, err := Open(env, "registry.example.org", "", Options{pace: &pace{Pace: web.Pace{Answer: fast.Answer, Commit: fast.Commit, Stall: fast.Stall, Wait: 1, MaxWait: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		r := s.Repo("a")
		if d, err := r.Resolve(t.Context(), "1"); err == nil && (blob.CheckDigest(d.Digest) != nil || !blob.IsManifest(d.MediaType) || d.Size > blob.MaxManifest) {
			t.Fatalf("resolved to %+v", d)
		}
		tags(t.Context(), r)
		found, _ := referrers(t.Context(), r, describe("", nil), "")
		for _, d := range found {
			if blob.CheckDigest(d.Digest) != nil {
				t.Fatalf("referrer %+v", d)
			}
		}
		want := digest.FromString("x")
		blob.ReadAll(t.Context(), r, describe("", []byte("x")), 100)
		if got, err := r.Push(t.Context(), describe("", []byte("x")), strings.NewReader("x")); err == nil && got.Digest != want {
			t.Fatalf("pushed %+v", got)
		}
	})
}
