// SPDX-License-Identifier: Apache-2.0

package ocm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocm"
)

const (
	hex64  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	hex128 = hex64 + hex64
)

func ExampleParseCoordinates() {
	c, err := ocm.ParseCoordinates("ghcr.io/acme//acme.org/app:1.0.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Repository, c.Component, c.Version)
	spec, _ := c.Spec()
	fmt.Println(string(spec.Raw))
	fmt.Println(c)
	// Output:
	// ghcr.io/acme acme.org/app 1.0.0
	// {"type":"OCIRepository/v1","baseUrl":"ghcr.io","subPath":"acme"}
	// ghcr.io/acme//acme.org/app:1.0.0
}

func TestParseCoordinates(t *testing.T) {
	t.Parallel()
	oci, ctf := ocm.OCIRepositoryType, ocm.CTFType
	tests := []struct {
		in   string
		want ocm.Coordinates
	}{
		{"ghcr.io/open-component-model/ocm//ocm.software/ocmcli:0.23.0", ocm.Coordinates{oci, "ghcr.io/open-component-model/ocm", "ocm.software/ocmcli", "0.23.0", ""}},
		{"ghcr.io/acme/component-descriptors/acme.org/app:1.0.0", ocm.Coordinates{oci, "ghcr.io/acme", "acme.org/app", "1.0.0", ""}},
		{"oci::http://localhost:5000/sub//acme.org/app:1.0.0", ocm.Coordinates{oci, "http://localhost:5000/sub", "acme.org/app", "1.0.0", ""}},
		{"http://registry:5000//acme.org/app:1.0.0", ocm.Coordinates{oci, "http://registry:5000", "acme.org/app", "1.0.0", ""}},
		{"localhost:5000//acme.org/app", ocm.Coordinates{oci, "localhost:5000", "acme.org/app", "", ""}},
		{"[::1]:5000/x//acme.org/app:1", ocm.Coordinates{oci, "[::1]:5000/x", "acme.org/app", "1", ""}},
		{"oci::http://[::1]:5000//acme.org/app", ocm.Coordinates{oci, "http://[::1]:5000", "acme.org/app", "", ""}},
		{"./archive//acme.org/app:1.0.0", ocm.Coordinates{ctf, "./archive", "acme.org/app", "1.0.0", ""}},
		{"/tmp/ctf/component-descriptors/acme.org/app:0.1.0", ocm.Coordinates{ctf, "/tmp/ctf", "acme.org/app", "0.1.0", ""}},
		{"archive//acme.org/app:1.0.0", ocm.Coordinates{ctf, "archive", "acme.org/app", "1.0.0", ""}},
		{"my.path//acme.org/app:1.0.0", ocm.Coordinates{oci, "my.path", "acme.org/app", "1.0.0", ""}},
		{"archive.tgz//acme.org/app", ocm.Coordinates{ctf, "archive.tgz", "acme.org/app", "", ""}},
		{"ctf::-//acme.org/app:1.0.0", ocm.Coordinates{ctf, "-", "acme.org/app", "1.0.0", ""}},
		{"ctf::./path//acme.org/app", ocm.Coordinates{ctf, "./path", "acme.org/app", "", ""}},
		{"+ctf::my.path//acme.org/app:v1.2", ocm.Coordinates{ctf, "my.path", "acme.org/app", "v1.2", ""}},
		{`C:\ctf\a//acme.org/app`, ocm.Coordinates{ctf, "C:/ctf/a", "acme.org/app", "", ""}},
		{"ghcr.io/x//acme.org/app:1.0.0@sha256:" + hex64, ocm.Coordinates{oci, "ghcr.io/x", "acme.org/app", "1.0.0", "sha256:" + hex64}},
		{"ghcr.io/x//acme.org/app@sha512:" + hex128, ocm.Coordinates{oci, "ghcr.io/x", "acme.org/app", "", "sha512:" + hex128}},
		{"a//acme.org/app:1.0.0-rc.1+build.5", ocm.Coordinates{ctf, "a", "acme.org/app", "1.0.0-rc.1+build.5", ""}},
		{"/tmp/component-descriptors/x//acme.org/app", ocm.Coordinates{ctf, "/tmp/component-descriptors/x", "acme.org/app", "", ""}},
		{"a//b//acme.org/app", ocm.Coordinates{ctf, "a//b", "acme.org/app", "", ""}},
		{"///acme.org/app", ocm.Coordinates{ctf, "/", "acme.org/app", "", ""}},
		{"//acme.org/app:1.0.0", ocm.Coordinates{"", "", "acme.org/app", "1.0.0", ""}},
		{"//acme.org/app", ocm.Coordinates{"", "", "acme.org/app", "", ""}},
		{"acme.org/app:1.0.0", ocm.Coordinates{"", "", "acme.org/app", "1.0.0", ""}},
		{"acme.org/app:v1.0.0@sha256:" + hex64, ocm.Coordinates{"", "", "acme.org/app", "v1.0.0", "sha256:" + hex64}},
		{"acme.org/team/app@sha256:" + hex64, ocm.Coordinates{"", "", "acme.org/team/app", "", "sha256:" + hex64}},
		{"ca::./old//acme.org/app:1.0.0", ocm.Coordinates{ocm.ComponentArchiveType, "./old", "acme.org/app", "1.0.0", ""}},
		{"ComponentArchive/v1::old.tgz//acme.org/app", ocm.Coordinates{ocm.ComponentArchiveType, "old.tgz", "acme.org/app", "", ""}},
		{"componentArchive::old//acme.org/app", ocm.Coordinates{ocm.ComponentArchiveType, "old", "acme.org/app", "", ""}},
		{"memory::dry//acme.org/app:1.0.0", ocm.Coordinates{ocm.MemoryType, "dry", "acme.org/app", "1.0.0", ""}},
		{"CTF::./x.tgz//acme.org/app", ocm.Coordinates{ctf, "./x.tgz", "acme.org/app", "", ""}},
		{"ctf+tgz::x.tgz//acme.org/app", ocm.Coordinates{ctf, "x.tgz", "acme.org/app", "", ""}},
		{"CommonTransportFormat+tar::x.tar//acme.org/app", ocm.Coordinates{ctf, "x.tar", "acme.org/app", "", ""}},
		{"+ctf+directory::./x//acme.org/app", ocm.Coordinates{ctf, "./x", "acme.org/app", "", ""}},
		{`OCIRegistry::{"baseUrl":"https://ghcr.io","subPath":"/acme/x"}//acme.org/app:1.0.0`, ocm.Coordinates{oci, "https://ghcr.io/acme/x", "acme.org/app", "1.0.0", ""}},
		{`{"type":"OCIRegistry/v1","baseUrl":"ghcr.io"}//acme.org/app`, ocm.Coordinates{oci, "ghcr.io", "acme.org/app", "", ""}},
		{`ctf::{"filePath":"./a.tgz"}//acme.org/app`, ocm.Coordinates{ctf, "./a.tgz", "acme.org/app", "", ""}},
		{`{"type":"ComponentArchive","filePath":"a"}//acme.org/app`, ocm.Coordinates{ocm.ComponentArchiveType, "a", "acme.org/app", "", ""}},
		{`{"type":"memory","name":"a"}//acme.org/app`, ocm.Coordinates{ocm.MemoryType, "a", "acme.org/app", "", ""}},
		{"OCIRegistry::ghcr.io/x//acme.org/app", ocm.Coordinates{oci, "ghcr.io/x", "acme.org/app", "", ""}},
		{"WebDAV::https://host/path//acme.org/app:1.0.0", ocm.Coordinates{"WebDAV", "https://host/path", "acme.org/app", "1.0.0", ""}},
		{"WebDAV::https://host/path/component-descriptors/acme.org/app", ocm.Coordinates{"WebDAV", "https://host/path", "acme.org/app", "", ""}},
		{`{"type":"WebDAV","location":"https://host/path"}//acme.org/app`, ocm.Coordinates{"WebDAV", `{"type":"WebDAV","location":"https://host/path"}`, "acme.org/app", "", ""}},
	}
	for _, tt := range tests {
		got, err := ocm.ParseCoordinates(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", tt.in, got, err, tt.want)
			continue
		}
		if again, err := ocm.ParseCoordinates(got.String()); err != nil || again != got {
			t.Errorf("%s: String %q reads as %+v, %v", tt.in, got, again, err)
		}
	}
}

func TestParseCoordinatesRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		kind error
		text string
	}{
		{"", ocm.ErrInvalid, "no component"},
		{"ghcr.io/acme/app", ocm.ErrInvalid, "for example ghcr.io/acme//acme.org/app:1.0.0"},
		{"ghcr.io/acme/app:latest", ocm.ErrInvalid, "for example ghcr.io/acme//acme.org/app:1.0.0"},
		{"http://localhost:5000/acme.org/app", ocm.ErrInvalid, "no component"},
		{"/component-descriptors/acme.org/app:1.0.0", ocm.ErrInvalid, "no repository"},
		{"ctf:://acme.org/app", ocm.ErrInvalid, "no repository"},
		{`oci::{"baseUrl":"ghcr.io","user":"s3cret"}//acme.org/app`, ocm.ErrInvalid, "type, baseUrl, subPath, filePath or name only"},
		{`oci::{"filePath":"x"}//acme.org/app`, ocm.ErrInvalid, "a member is not one of type oci"},
		{`ctf::{"baseUrl":"x"}//acme.org/app`, ocm.ErrInvalid, "a member is not one of type ctf"},
		{`ctf::{"type":"oci","filePath":"x"}//acme.org/app`, ocm.ErrInvalid, "a member is not one of type ctf"},
		{`oci::{}//acme.org/app`, ocm.ErrInvalid, "registry host"},
		{`{"baseUrl":"ghcr.io"}//acme.org/app`, ocm.ErrUnknownType, "known"},
		{`{"type":"oci","baseUrl":"https://u:s3cret@ghcr.io"}//acme.org/app`, ocm.ErrInvalid, "without user"},
		{"memory::a/b//acme.org/app", ocm.ErrInvalid, "letters and digits"},
		{"ctf+tar::x.tgz//acme.org/app", ocm.ErrUnknownType, "ctf::archive.tgz"},
		{"oci:://acme.org/app:1.0.0", ocm.ErrInvalid, "no repository"},
		{"ghcr.io/x//acme.org/app:foo", ocm.ErrInvalid, `version "foo"`},
		{"ghcr.io/x//acme.org/app:", ocm.ErrInvalid, `version ""`},
		{"ghcr.io/x//acme.org/app:01.0.0", ocm.ErrInvalid, "semantic version"},
		{"ghcr.io/x//acme.org/app:1.0.0.0", ocm.ErrInvalid, "semantic version"},
		{"ghcr.io/x//app:1.0.0", ocm.ErrInvalid, `component "app"`},
		{"ghcr.io/x//Acme.org/app:1.0.0", ocm.ErrInvalid, "begins with a domain"},
		{"ghcr.io/x//acme.org/" + strings.Repeat("a", 300), ocm.ErrInvalid, "component"},
		{"ghcr.io/x//acme.org/app@sha256:abc", ocm.ErrInvalid, "64 lower-case"},
		{"ghcr.io/x//acme.org/app@sha256:" + strings.ToUpper(hex64), ocm.ErrInvalid, "64 lower-case"},
		{"ghcr.io/x//acme.org/app@md5:" + hex64, ocm.ErrInvalid, "digest"},
		{"ghcr.io/x//acme.org/app@sha256:" + hex64 + "@sha256:" + hex64, ocm.ErrInvalid, "digest"},
		{"ghcr.io/x//acme.org/app@", ocm.ErrInvalid, "digest"},
		{"s3:://acme.org/app", ocm.ErrInvalid, "no repository"},
		{"s3::x:/component-descriptors/acme.org/app", ocm.ErrInvalid, "must not end with a colon"},
		{"s3::https://u:s3cret@host/x//acme.org/app", ocm.ErrInvalid, "without user"},
		{"s3::https://host/x?token=s3cret//acme.org/app", ocm.ErrInvalid, "without user"},
		{`s3::{"type":"s4"}//acme.org/app`, ocm.ErrInvalid, "of type s3"},
		{`{"type":"s 3"}//acme.org/app`, ocm.ErrUnknownType, "known: oci"},
		{"ctf+zip::bucket//acme.org/app", ocm.ErrUnknownType, "ctf::archive.tgz"},
		{"ctf+tgz::x//acme.org/app", ocm.ErrUnknownType, "ctf::archive.tgz"},
		{"ghcr.io/ACME//acme.org/app", ocm.ErrInvalid, "lower-case"},
		{"ghcr.io/../x//acme.org/app", ocm.ErrInvalid, "registry path"},
		{"ghcr.io:99999//acme.org/app", ocm.ErrInvalid, "port"},
		{"ftp://ghcr.io/x//acme.org/app", ocm.ErrInvalid, "http, https or oci"},
		{".hidden//acme.org/app", ocm.ErrInvalid, "ctf::.hidden"},
		{"file://host/x//acme.org/app", ocm.ErrInvalid, "file:///path"},
		{"a\x1b[31m//acme.org/app", ocm.ErrInvalid, "control characters"},
		{"a\xff//acme.org/app", ocm.ErrInvalid, "UTF-8"},
		{strings.Repeat("a", 5000) + "//acme.org/app", ocm.ErrLimit, "accepted are 4096"},
	}
	for _, tt := range tests {
		_, err := ocm.ParseCoordinates(tt.in)
		if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.text) {
			t.Errorf("%.60q: got %v, want %v with %q", tt.in, err, tt.kind, tt.text)
		}
	}
}

// Nobody should write a password into a reference; who did finds it in no log.
func TestReferenceErrorsHideSecrets(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"https://user:s3cret@ghcr.io/acme//acme.org/app",
		"https://user:s3cret/x@ghcr.io/acme//acme.org/app",
		"user:s3cret@ghcr.io/acme//acme.org/app",
		"user:s3cret@sha.io/acme//acme.org/app@sha256:" + hex64,
		"oci::user:s3cret@ghcr.io/acme",
		"oci::https://user:s3cret@ghcr.io",
		`oci::{"baseUrl":"https://user:s3cret@ghcr.io"}//acme.org/app`,
		`{"type":"oci","password":"s3cret"}@x//acme.org/app`,
	} {
		_, err := ocm.ParseCoordinates(s)
		_, _, err2 := ocm.ParseRepository(s)
		if err == nil || err2 == nil || strings.Contains(err.Error()+err2.Error(), "s3cret") {
			t.Errorf("%s: %v; %v", s, err, err2)
		}
	}
}

func TestParseRepositoryGuessesType(t *testing.T) {
	t.Parallel()
	oci, ctf := ocm.OCIRepositoryType, ocm.CTFType
	tests := []struct{ in, typ, location string }{
		{`C:\x\y`, ctf, "C:/x/y"}, // rule 1
		{"c:/x", ctf, "c:/x"},
		{"file:///tmp/x", ctf, "/tmp/x"}, // rule 2
		{"FILE:/tmp/x", ctf, "/tmp/x"},
		{"file:x", ctf, "x"},
		{"http://registry:5000", oci, "http://registry:5000"},
		{"https://ghcr.io/acme/", oci, "https://ghcr.io/acme"},
		{"oci://ghcr.io/acme", oci, "oci://ghcr.io/acme"},
		{"localhost:5000/x", oci, "localhost:5000/x"},
		{"/tmp/ctf", ctf, "/tmp/ctf"}, // rule 3
		{"/tmp/a:b", ctf, "/tmp/a:b"},
		{"../x", ctf, "../x"}, // rule 4
		{"./x", ctf, "./x"},
		{"./ghcr.io:1", ctf, "./ghcr.io:1"},
		{"localhost", oci, "localhost"}, // rule 5
		{"registry:5000", oci, "registry:5000"},
		{"archive.tar", ctf, "archive.tar"}, // rule 6
		{"dir/archive.TGZ", ctf, "dir/archive.TGZ"},
		{"archive.tar.gz", ctf, "archive.tar.gz"},
		{"archive.tar.zst", ctf, "archive.tar.zst"},
		{"ctf::-", ctf, "-"},
		{"-", ctf, "-"},
		{"ghcr.io", oci, "ghcr.io"}, // rule 7
		{"ghcr.io/acme", oci, "ghcr.io/acme"},
		{"127.0.0.1/x", oci, "127.0.0.1/x"},
		{"archive", ctf, "archive"}, // rule 8
		{"a/b", ctf, "a/b"},
		{"..", ctf, ".."},
		{"1.2", ctf, "1.2"},
	}
	for _, tt := range tests {
		typ, location, err := ocm.ParseRepository(tt.in)
		if err != nil || typ != tt.typ || location != tt.location {
			t.Errorf("%s: got %s %s, %v; want %s %s", tt.in, typ, location, err, tt.typ, tt.location)
		}
	}
}

func TestParseRepositoryTypes(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		ocm.OCIRepositoryType: {"OCIRepository", "OCI", "oci", "OCIRegistry", "ociRegistry"},
		ocm.CTFType:           {"CommonTransportFormat", "CTF", "ctf"},

		ocm.ComponentArchiveType: {"ComponentArchive", "componentArchive", "ca"},
		ocm.MemoryType:           {"Memory", "memory"},
	} {
		for _, name := range names {
			for _, typ := range []string{name, name + "/v1", "+" + name} {
				if got, location, err := ocm.ParseRepository(typ + "::x.y"); got != want || location != "x.y" || err != nil {
					t.Errorf("%s: got %s %s, %v", typ, got, location, err)
				}
			}
		}
	}
}

func TestRepositorySpec(t *testing.T) {
	t.Parallel()
	tests := []struct{ typ, location, want string }{
		{ocm.OCIRepositoryType, "ghcr.io", `{"type":"OCIRepository/v1","baseUrl":"ghcr.io"}`},
		{"oci", "ghcr.io/a/b", `{"type":"OCIRepository/v1","baseUrl":"ghcr.io","subPath":"a/b"}`},
		{"OCI/v1", "http://localhost:5000/sub", `{"type":"OCIRepository/v1","baseUrl":"http://localhost:5000","subPath":"sub"}`},
		{"ctf", "./a", `{"type":"CommonTransportFormat/v1","filePath":"./a"}`},
		{"ca", "./a", `{"type":"ComponentArchive/v1","filePath":"./a"}`},
		{"memory", "a", `{"type":"Memory/v1","name":"a"}`},
		{"WebDAV", "https://host/path", `{"type":"WebDAV","location":"https://host/path"}`},
		{"acme/v2", "bucket?x", `{"type":"acme/v2","location":"bucket?x"}`},
		{"WebDAV", `{"url":"https://host", "more":{"name":[1]}}`, `{"type":"WebDAV","url":"https://host","more":{"name":[1]}}`},
	}
	for _, tt := range tests {
		s, err := ocm.RepositorySpec(tt.typ, tt.location)
		if err != nil || string(s.Raw) != tt.want {
			t.Errorf("%s %s: got %s, %v; want %s", tt.typ, tt.location, s.Raw, err, tt.want)
		}
	}
	for _, typ := range []string{"", "s 3", "ctf+zip"} {
		if _, err := ocm.RepositorySpec(typ, "x"); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("type %q: got %v", typ, err)
		}
	}
}

func FuzzParseCoordinates(f *testing.F) {
	for _, s := range []string{
		"ghcr.io/acme//acme.org/app:1.0.0", "ctf::./a.tgz//acme.org/app", "/tmp/component-descriptors/acme.org/app:0.1.0",
		"oci::http://localhost:5000/sub//acme.org/app:1.0.0+b@sha256:" + hex64, `C:\x//acme.org/app`, "[::1]:5000//acme.org/app:v1",
		"r.o////acme.org/a", "file:///x//acme.org/app", "+ctf::x://acme.org/app", "u:p@h/x//acme.org/app",
		"WebDAV::https://host/path//acme.org/app:1.0.0", `WebDAV::{"name":{"a":"b:"}}//acme.org/app`, `{"type":"x/y","u":"a@b//c"}//acme.org/app`, "a+b::::x//acme.org/app",
		`OCIRegistry::{"baseUrl":"https://ghcr.io","subPath":"/acme/x"}//acme.org/app:1.0.0`, `{"type":"ctf","filePath":"{}"}//acme.org/app`,
		"acme.org/app:1.0.0", "//acme.org/app", "ca::x//acme.org/app", "memory::m//acme.org/app", "ctf+tgz::x.tgz//acme.org/app",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ocm.ParseCoordinates(s)
		if err != nil {
			if c != (ocm.Coordinates{}) {
				t.Fatalf("%q: an error and a value: %+v", s, c)
			}
			return
		}
		if again, err := ocm.ParseCoordinates(c.String()); err != nil || again != c {
			t.Fatalf("%q: %+v, written as %q, reads as %+v, %v", s, c, c, again, err)
		}
		if c.Repository == "" {
			if _, err := c.Spec(); !errors.Is(err, ocm.ErrInvalid) || c.Type != "" {
				t.Fatalf("%q: %+v without a repository: %v", s, c, err)
			}
			return
		}
		if spec, err := c.Spec(); err != nil || spec.Type != c.Type {
			t.Fatalf("%q: %+v has no specification: %v", s, c, err)
		}
		typ, location, err := ocm.ParseRepository(c.Type + "::" + c.Repository)
		if err != nil || typ != c.Type || location != c.Repository {
			t.Fatalf("%q: repository %s %s reads as %s %s, %v", s, c.Type, c.Repository, typ, location, err)
		}
	})
}
