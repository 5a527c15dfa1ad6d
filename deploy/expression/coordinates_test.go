// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/deploy/resolve"
)

// reference joins what coordinates say, in the order host|repository|tag|digest|reference.
func reference(c map[string]string) string {
	return strings.Join([]string{c["host"], c["repository"], c["tag"], c["digest"], c["reference"]}, "|")
}

// References in strings, and the same in accesses.
func TestCoordinatesOfReferences(t *testing.T) {
	t.Parallel()
	e := evaluator(t)
	for in, want := range map[string]string{
		"ghcr.io/acme/app:1.0.0@" + sum:        "ghcr.io|acme/app|1.0.0|" + sum + "|1.0.0@" + sum,
		"ghcr.io/acme/app:1.0.0":               "ghcr.io|acme/app|1.0.0||1.0.0",
		"ghcr.io/acme/app@" + sum:              "ghcr.io|acme/app||" + sum + "|" + sum,
		"ghcr.io/acme/app":                     "ghcr.io|acme/app|||",
		"http://registry:5000/a/b:1":           "registry:5000|a/b|1||1",
		"https://ghcr.io/a:1":                  "ghcr.io|a|1||1",
		"oci://ghcr.io/charts/app:1":           "ghcr.io|charts/app|1||1",
		"localhost:5000/a:1":                   "localhost:5000|a|1||1",
		"localhost/a":                          "localhost|a|||",
		"[::1]:5000/a/b:1@" + sum:              "[::1]:5000|a/b|1|" + sum + "|1@" + sum,
		"127.0.0.1:5000/a":                     "127.0.0.1:5000|a|||",
		"docker.io/library/postgres:18":        "docker.io|library/postgres|18||18",
		"docker.io/postgres:18":                "docker.io|library/postgres|18||18",
		"index.docker.io/library/postgres:18":  "docker.io|library/postgres|18||18",
		"postgres:18":                          "docker.io|library/postgres|18||18",
		"grafana/loki@" + sum:                  "docker.io|grafana/loki||" + sum + "|" + sum,
		"GHCR.io/acme/app:V1":                  "ghcr.io|acme/app|V1||V1",
		"registry.example.org:5000/a:5000":     "registry.example.org:5000|a|5000||5000",
		"registry.example.org:5000/a/b/c/d/e1": "registry.example.org:5000|a/b/c/d/e1|||",
	} {
		for _, expression := range []string{fmt.Sprintf("%q.toOCI()", in), fmt.Sprintf("toOCI(%q)", in), fmt.Sprintf("{'imageReference': %q}.toOCI()", in),
			fmt.Sprintf("{'type': 'OCIImage/v1', 'imageReference': %q}.toOCI()", in), fmt.Sprintf("toOCI({'type': 'ociArtifact', 'imageReference': %q})", in)} {
			raw, _ := json.Marshal(map[string]string{"a": expression})
			got, err := e.Evaluate(t.Context(), "f", raw, nil, nil)
			var out struct{ A map[string]string }
			if err == nil {
				err = json.Unmarshal(got, &out)
			}
			if err != nil || reference(out.A) != want || out.A["registry"] != out.A["host"] || len(out.A) != 6 {
				t.Errorf("%s: %s, %v; expected %s", expression, got, err, want)
			}
		}
	}
	for in, want := range map[string]string{
		"":                           "the repository is missing",
		"user:secret@ghcr.io/a":      "no sha256",
		"http://user:secret@ghcr.io": "no sha256",
		"ftp://ghcr.io/a":            "expected http, https or oci",
		"ghcr.io/A":                  "is no repository",
		"ghcr.io/a:":                 "is no tag",
		"ghcr.io/a@sha256:12":        "no sha256",
		"ghcr.io/../a":               "is no repository",
		"[::1/a":                     "",
		strings.Repeat("a", 3000):    "accepted are",
	} {
		raw, _ := json.Marshal(map[string]string{"a": fmt.Sprintf("%q.toOCI()", in)})
		got, err := e.Evaluate(t.Context(), "f", raw, nil, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "f.a: toOCI: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %s, %v; expected %s", in, got, err, want)
		}
	}
}

func TestCoordinatesOfResources(t *testing.T) {
	t.Parallel()
	relative := `{"type":"relativeOciReference/v1","reference":"charts/app:1.0"}`
	for _, c := range []struct {
		name, access, repository string
		artifact                 *ociv1.Descriptor
		want                     string // beginning with "!": of the error
	}{
		{"local", localImage, `{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`, &published, "registry:5000|component-descriptors/acme.org/app||" + sum + "|" + sum},
		{"local, path", localImage, `{"type":"OCIRepository/v1","baseUrl":"ghcr.io/","subPath":"/acme/x/"}`, &published, "ghcr.io|acme/x/component-descriptors/acme.org/app||" + sum + "|" + sum},
		{"local, path in URL", localImage, `{"type":"OCIRepository/v1","baseUrl":"https://ghcr.io/acme","subPath":"x"}`, &published, "ghcr.io|acme/x/component-descriptors/acme.org/app||" + sum + "|" + sum},
		{"local, plain host", localImage, `{"type":"oci","baseUrl":"registry"}`, &published, "registry|component-descriptors/acme.org/app||" + sum + "|" + sum},
		{"local, older", `{"type":"localOciBlob","digest":"` + sum + `"}`, `{"type":"oci","baseUrl":"[::1]:5000"}`, &published, "[::1]:5000|component-descriptors/acme.org/app||" + sum + "|" + sum},
		{"local, no artifact", `{"type":"localBlob","localReference":"` + sum + `","mediaType":"text/plain"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, "!of media type \"text/plain\" is not an OCI artifact in a registry"},
		{"local, archive", localImage, `{"type":"CTF","filePath":"./a"}`, &published, `!is in a repository of type "CTF", which is no registry`},
		{"local, digests as names", localImage, `{"type":"oci","baseUrl":"ghcr.io","componentNameMapping":"sha256-digest"}`, &published, "!componentNameMapping"},
		{"local, password", localImage, `{"type":"oci","baseUrl":"https://user:secret@ghcr.io"}`, &published, "!baseUrl has more than"},
		{"local, bad host", localImage, `{"type":"oci","baseUrl":"https://g h"}`, &published, "!is no host"},
		{"relative", relative, `{"type":"oci","baseUrl":"ghcr.io","subPath":"acme"}`, nil, "ghcr.io|acme/charts/app|1.0||1.0"},
		{"relative, up", `{"type":"relativeOciReference/v1","reference":"../app"}`, `{"type":"oci","baseUrl":"ghcr.io","subPath":"acme"}`, nil, "!expected path"},
		{"image", `{"type":"ociArtifact/v1","imageReference":"ghcr.io/a/b:1@` + sum + `"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, "ghcr.io|a/b|1|" + sum + "|1@" + sum},
		{"image that was compared", `{"type":"ociArtifact/v1","imageReference":"ghcr.io/a/b:1"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, &published, "ghcr.io|a/b|1|" + sum + "|1@" + sum},
		{"image without reference", `{"type":"ociArtifact/v1"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, "!the access has no imageReference"},
		{"image with a number", `{"type":"ociArtifact/v1","imageReference":5}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, "!imageReference"},
		{"another access", `{"type":"wget/v1","url":"https://example.org/a"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, `!an access of type "wget/v1" is not one of an OCI artifact`},
		{"a disguise", `{"type":"wget/v1","imageReference":"ghcr.io/a/b:1"}`, `{"type":"oci","baseUrl":"ghcr.io"}`, nil, `!an access of type "wget/v1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := image(t, c.access, c.artifact)
			r.Repository = spec(t, c.repository)
			got, err := Coordinates(r)
			compareCoordinates(t, got, err, c.want)
			raw, byCEL := evaluator(t).Evaluate(t.Context(), "f", []byte(`{"a":"resource.access.toOCI()"}`), variables(t, r), r)
			var out struct{ A map[string]string }
			if byCEL == nil {
				byCEL = json.Unmarshal(raw, &out)
			}
			compareCoordinates(t, out.A, byCEL, c.want)
			if err == nil && !maps.Equal(out.A, got) {
				t.Error("an expression gives", out.A, "and Go", got)
			}
		})
	}
}

func compareCoordinates(t *testing.T, got map[string]string, err error, want string) {
	t.Helper()
	if message, wrong := strings.CutPrefix(want, "!"); wrong {
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v; expected %s", err, message)
		}
		return
	}
	if err != nil || reference(got) != want {
		t.Errorf("%s, %v; expected %s", reference(got), err, want)
	}
}

// A map that somebody made is not the resource: it gets no digest, and no place, that was not said.
func TestCoordinatesOfForeignAccess(t *testing.T) {
	t.Parallel()
	r := image(t, `{"type":"ociArtifact/v1","imageReference":"ghcr.io/a/b:1"}`, &published)
	e := evaluator(t)
	got, err := e.Evaluate(t.Context(), "f", []byte(`{"a":"{'type':'ociArtifact/v1','imageReference':'evil.example/a/b:1'}.toOCI().digest"}`), nil, r)
	if err != nil || string(got) != `{"a":""}` {
		t.Errorf("%s, %v", got, err)
	}
	for _, r := range []*resolve.Resource{r, nil, image(t, `{"type":"localBlob","localReference":"sha256:`+strings.Repeat("1", 64)+`"}`, &published)} {
		_, err := e.Evaluate(t.Context(), "f", []byte(`{"a":"{'type':'localBlob','localReference':'`+sum+`'}.toOCI()"}`), nil, r)
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "is not that of the resource") {
			t.Error(err)
		}
	}
}
