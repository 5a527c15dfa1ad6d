// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
)

// method is the one that a kit has under a name, with its description.
func method(t *testing.T, r *ocm.Registry[ocm.Opener], name string) ocm.Method {
	t.Helper()
	for _, typ := range r.Types() {
		if typ.Names[0] == name {
			return ocm.Method{Type: typ, Opener: fixture.Must[ocm.Opener](t)(r.For(name))}
		}
	}
	t.Fatalf("no type %s", name)
	return ocm.Method{}
}

// lab is a repository with versions that lead to each other:
//
//	acme.org/base:1.0.0   text (beside), text for arm64, image (beside), wrong (digest of something else)
//	acme.org/app:1.0.0    -> base;  self: base's text by the same repository
type lab struct {
	t    *testing.T
	repo ocm.Repository
}

func (l lab) put(name string, fill func(d *ocm.Descriptor, draft ocm.Draft)) ocm.Version {
	l.t.Helper()
	draft := fixture.Must[ocm.Draft](l.t)(l.repo.Draft(l.t.Context(), name, "1.0.0", nil))
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "acme.org"}}
	fill(d, draft)
	_ = fixture.Must[ocm.Version](l.t)(draft.Commit(l.t.Context(), d))
	return fixture.Must[ocm.Version](l.t)(l.repo.Open(l.t.Context(), name, "1.0.0"))
}

func (l lab) resource(d *ocm.Descriptor, draft ocm.Draft, name string, c ocm.Content, extra ocm.Identity) *ocm.Resource {
	l.t.Helper()
	s := fixture.Must[ocm.Stored](l.t)(draft.Add(l.t.Context(), c, ""))
	dg := fixture.Must[ocm.Digest](l.t)(graph.NewDigest(l.t.Context(), ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
	d.Component.Resources = append(d.Component.Resources, ocm.Resource{
		Element: ocm.Element{Name: name, Version: "1.0.0", ExtraIdentity: extra}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access, Digest: &dg,
	})
	return &d.Component.Resources[len(d.Component.Resources)-1]
}

func (l lab) access(d *ocm.Descriptor, name, raw string) {
	d.Component.Resources = append(d.Component.Resources, ocm.Resource{
		Element: ocm.Element{Name: name, Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationExternal, Access: spec(l.t, raw),
	})
}

func reference(t *testing.T, s ocm.Spec) string {
	t.Helper()
	return fixture.Must[oci.LocalBlob](t)(oci.ParseLocal(s)).LocalReference
}

func text(s string) ocm.Content { return blob.Bytes("text/plain", []byte(s)) }

// fill makes the versions.
func (l lab) fill() (base, app ocm.Version) {
	base = l.put("acme.org/base", func(d *ocm.Descriptor, draft ocm.Draft) {
		l.resource(d, draft, "text", text("hello"), nil)
		l.resource(d, draft, "binary", text("amd64"), ocm.Identity{"architecture": "amd64"})
		l.resource(d, draft, "binary", text("arm64"), ocm.Identity{"architecture": "arm64"})
		l.resource(d, draft, "image", fixture.Image("layer"), nil)
		r := l.resource(d, draft, "wrong", text("wrong"), nil)
		r.Digest.Value = strings.Repeat("0", 64)
		// blobs in parts have no digest of their own
		one, two := d.Component.Resources[0].Access, d.Component.Resources[1].Access
		for name, sum := range map[string]string{"parts": digest.FromString("helloamd64").Encoded(), "wrong parts": strings.Repeat("0", 64)} {
			l.access(d, name, fmt.Sprintf(`{"type":"localBlob","mediaType":"text/plain","localReference":"%s,%s"}`, reference(l.t, one), reference(l.t, two)))
			d.Component.Resources[len(d.Component.Resources)-1].Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: sum}
		}
	})
	sum := fixture.Must[ocm.Digest](l.t)(normalise.Digest(base.Descriptor(), ocm.SHA256, normalise.V3))
	app = l.put("acme.org/app", func(d *ocm.Descriptor, draft ocm.Draft) {
		bad := sum
		bad.Value = strings.Repeat("0", 64)
		for name, digest := range map[string]*ocm.Digest{"base": &sum, "lying": &bad} {
			d.Component.References = append(d.Component.References, ocm.Reference{
				Element: ocm.Element{Name: name, Version: "1.0.0"}, ComponentName: "acme.org/base", Digest: digest,
			})
		}
		l.access(d, "near", `{"type":"ocm","component":"acme.org/base","version":"1.0.0","resourceRef":{"resource":{"name":"text"}}}`)
		l.access(d, "below", `{"type":"ocm/v1","resourceRef":{"resource":{"name":"text"},"referencePath":[{"name":"base"}]}}`)
		l.access(d, "lying", `{"type":"ocm","resourceRef":{"resource":{"name":"text"},"referencePath":[{"name":"lying"}]}}`)
		l.access(d, "again", `{"type":"ocm","resourceRef":{"name":"near"}}`)
		l.access(d, "circle", `{"type":"ocm","resourceRef":{"name":"circle"}}`)
		l.access(d, "ping", `{"type":"ocm","resourceRef":{"name":"pong"}}`)
		l.access(d, "pong", `{"type":"ocm","component":"acme.org/app","version":"1.0.0","resourceRef":{"name":"ping"}}`)
		l.access(d, "file", `{"type":"file","path":"secret.txt"}`)
	})
	return base, app
}

func TestOCM(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	env := func() *ocm.Env { return &ocm.Env{Job: ocm.NewJob(2)} }
	repository := fmt.Sprintf(`{"type":"OCIRegistry","baseUrl":%q,"subPath":"ocm"}`, url)
	r := fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), env(), spec(t, repository)))
	lab{t, r}.fill()
	ref := func(id map[string]any) map[string]any {
		return map[string]any{"resourceRef": map[string]any{"resource": id}}
	}
	good := map[string]any{
		"ocmRepository": map[string]any{"type": "OCIRegistry", "baseUrl": url, "subPath": "ocm"},
		"component":     "acme.org/base", "version": "1.0.0", "resourceRef": map[string]any{"resource": map[string]any{"name": "text"}},
	}
	for _, kind := range []*ocm.Registry[ocm.Opener]{builtin.Kit().Access, builtin.Kit().Inputs} {
		accesstest.Run(t, accesstest.Case{
			Method: method(t, kind, "ocm"), Env: env(), Good: good, WantType: "text/plain", Want: []byte("hello"),
			Missing: []map[string]any{{"component": "acme.org/gone"}, {"version": "2.0.0"}, ref(map[string]any{"name": "gone"}), ref(map[string]any{"name": "text", "os": "linux"})},
			Wrong: []map[string]any{
				{"component": nil}, {"version": nil}, {"ocmRepository": nil}, {"resourceRef": map[string]any{"resource": map[string]any{"os": "linux"}}},
				{"resourceRef": 7}, {"resourceRef": map[string]any{"name": map[string]any{}}},
			},
			Host: func(at string) map[string]any {
				return map[string]any{"ocmRepository": map[string]any{"type": "OCIRegistry", "baseUrl": "http://" + at}}
			},
		})
	}
}

// What an access does not say is that of the version which has it; each kind of store.
func TestOCMBesideItself(t *testing.T) {
	t.Parallel()
	for place, open := range fixture.Places() {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			env, kit := &ocm.Env{Job: ocm.NewJob(2), Dir: t.TempDir()}, builtin.Kit()
			if err := os.WriteFile(filepath.Join(env.Dir, "secret.txt"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			base, app := lab{t, oci.NewRepository(open(t), env)}.fill()
			for name, want := range map[string]error{
				"near": nil, "below": nil, "again": nil, "lying": ocm.ErrDigest, "circle": ocm.ErrLimit, "ping": ocm.ErrLimit, "file": ocm.ErrDenied,
			} {
				c, err := graph.Content(t.Context(), kit, env, app, named(app, name).Access)
				if !errors.Is(err, want) {
					t.Errorf("%s: expected %v, found %v", name, want, err)
				}
				if want == nil && err == nil {
					if got := string(readAll(t, c)); got != "hello" {
						t.Errorf("%s: found %q", name, got)
					}
				}
			}
			for raw, want := range map[string]error{
				`{"type":"ocm","resourceRef":{"name":"image"}}`:                                               nil,
				`{"type":"ocm","resourceRef":{"name":"binary","extraIdentity":{"architecture":"arm64"}}}`:     nil,
				`{"type":"ocm","resourceRef":{"resource":{"name":"binary","architecture":"arm64"}}}`:          nil,
				`{"type":"ocm","resourceRef":{"name":"binary"}}`:                                              ocm.ErrInvalid,
				`{"type":"ocm","resourceRef":{"name":"parts"}}`:                                               nil,
				`{"type":"ocm","resourceRef":{"name":"wrong parts"}}`:                                         ocm.ErrDigest,
				`{"type":"ocm","resourceRef":{"name":"wrong"}}`:                                               ocm.ErrDigest,
				`{"type":"ocm","component":"acme.org/app","resourceRef":{"name":"text"}}`:                     ocm.ErrInvalid,
				`{"type":"ocm","resourceRef":{"resource":{"name":"text"},"referencePath":[{"name":"gone"}]}}`: ocm.ErrNotFound,
			} {
				c, err := graph.Content(t.Context(), kit, env, base, spec(t, raw))
				if err == nil && c.Root.Digest == "" {
					t.Errorf("%s: nothing tells what the content must be", raw)
				} else if err == nil {
					err = blob.Check(t.Context(), c)
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: expected %v, found %v", raw, want, err)
				}
			}
		})
	}
}

// What lies on this computer is for those who write constructors, below their folder, and not for descriptors.
func TestOCMOpensNothingLocal(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	env, kit := &ocm.Env{Job: ocm.NewJob(2), Dir: dir}, builtin.Kit()
	for _, at := range []string{dir, outside} {
		r := fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), kit, env, spec(t, `{"type":"CTF","filePath":"`+at+`/ctf"}`)))
		lab{t, r}.fill()
	}
	if err := os.Symlink(outside, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	of := func(path string, typ ...string) ocm.Spec {
		return spec(t, `{"type":"ocm","ocmRepository":{"type":"`+append(typ, "CommonTransportFormat/v1")[0]+`","filePath":"`+path+`"},"component":"acme.org/base","version":"1.0.0","resourceRef":{"name":"text"}}`)
	}
	in := method(t, kit.Inputs, "ocm")
	for path, want := range map[string]error{
		"ctf": nil, dir + "/ctf": nil, outside + "/ctf": ocm.ErrInvalid, "link/ctf": ocm.ErrInvalid, "../" + filepath.Base(outside) + "/ctf": ocm.ErrInvalid, "gone": ocm.ErrNotFound,
	} {
		if _, err := in.Open(t.Context(), env, of(path)); !errors.Is(err, want) {
			t.Errorf("%s: expected %v, found %v", path, want, err)
		}
		for _, typ := range []string{"ca", "ComponentArchive/v1"} {
			if _, err := in.Open(t.Context(), env, of(path, typ)); want != nil && !errors.Is(err, want) {
				t.Errorf("%s %s: expected %v, found %v", typ, path, want, err)
			}
		}
		// the same repository, which an input has opened in this job, is closed to an access
		if _, err := method(t, kit.Access, "ocm").Open(t.Context(), env, of(path)); !errors.Is(err, ocm.ErrDenied) {
			t.Errorf("access %s: %v", path, err)
		}
	}
	if _, err := in.Open(t.Context(), env, spec(t, `{"type":"ocm","extra":1,"resourceRef":{"name":"text"}}`)); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "extra") {
		t.Errorf("found %v", err)
	}
}

// everywhere has a secret for every place.
type everywhere struct{}

func (everywhere) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret{"username": "me", "password": "secret"}, nil
}

// locked is a network in which every place asks who we are.
type locked struct{ t *testing.T }

func (l locked) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" {
		l.t.Errorf("a secret was sent to %s", r.URL.Redacted())
	}
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Request: r, Body: http.NoBody, Header: http.Header{"Www-Authenticate": {`Basic realm="all"`}},
	}, nil
}

// A descriptor that says http gets no secret that is meant for https.
func TestDescriptorsDoNotTakeSecretsOverPlainHTTP(t *testing.T) {
	t.Parallel()
	env, kit := &ocm.Env{Job: ocm.NewJob(1), Credentials: everywhere{}, HTTP: locked{t}}, builtin.Kit()
	for typ, raw := range map[string]string{
		"ocm":         `{"type":"ocm","ocmRepository":{"type":"OCI","baseUrl":"HTTP://acme.org/x"},"component":"acme.org/base","version":"1.0.0","resourceRef":{"name":"text"}}`,
		"ociBlob":     `{"type":"ociBlob","ref":"http://acme.org/x","digest":"sha256:` + strings.Repeat("0", 64) + `","size":3}`,
		"ociArtifact": `{"type":"ociArtifact","imageReference":"http://acme.org/x:1"}`,
	} {
		c, err := method(t, kit.Access, typ).Open(t.Context(), env, spec(t, raw))
		if err == nil {
			err = blob.Check(t.Context(), c)
		}
		if !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "plain http") {
			t.Errorf("%s: found %v", typ, err)
		}
	}
}

// nobodyHome is a network in which nobody may be asked for anything.
type nobodyHome struct{ t *testing.T }

func (n nobodyHome) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s was asked", r.URL.Host)
	return nil, errors.New("nobody")
}

// A descriptor does not lead to a cloud's metadata service, in whatever form its address is written.
func TestDescriptorsDoNotLeadToMetadata(t *testing.T) {
	t.Parallel()
	env, kit := &ocm.Env{Job: ocm.NewJob(1), HTTP: nobodyHome{t}}, builtin.Kit()
	for _, host := range []string{"169.254.169.254", "169.254.169.254:80", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "metadata.google.internal", "2852039166", "0xa9fea9fe"} {
		for typ, raw := range map[string]string{
			"ocm":         `{"type":"ocm","ocmRepository":{"type":"OCI","baseUrl":"` + host + `/x"},"component":"acme.org/base","version":"1.0.0","resourceRef":{"name":"text"}}`,
			"ociBlob":     `{"type":"ociBlob","ref":"https://` + host + `/x","digest":"sha256:` + strings.Repeat("0", 64) + `","size":3}`,
			"ociArtifact": `{"type":"ociArtifact","imageReference":"http://` + host + `/x:1"}`,
			"wget":        `{"type":"wget","url":"http://` + host + `/latest/meta-data"}`,
			"git":         `{"type":"git","repository":"git://` + host + `/x"}`,
			"maven":       `{"type":"maven","repoUrl":"https://` + host + `/x","groupId":"a","artifactId":"b","version":"1"}`,
		} {
			c, err := method(t, kit.Access, typ).Open(t.Context(), env, spec(t, raw))
			if err == nil {
				err = blob.Check(t.Context(), c)
			}
			if !errors.Is(err, ocm.ErrDenied) {
				t.Errorf("%s %s: found %v", typ, host, err)
			}
		}
	}
}

func named(v ocm.Version, name string) *ocm.Resource {
	list := v.Descriptor().Component.Resources
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func readAll(t *testing.T, c ocm.Content) []byte {
	t.Helper()
	rc := fixture.Must[io.ReadCloser](t)(blob.OpenContent(t.Context(), c))
	defer rc.Close()
	return fixture.Must[[]byte](t)(io.ReadAll(rc))
}
