// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/builtin"
	"ocm/construct"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/memory"
)

// everything is a constructor with all kinds of inputs and references.
const everything = `
components:
- name: acme.org/app
  version: 1.0.0
  provider: {name: acme.org, labels: [{name: site, value: "x"}]}
  creationTime: 2026-01-02T03:04:05Z
  labels: [{name: team, value: blue, signing: true}]
  resources:
  - {name: readme, type: plainText, input: {type: file, path: readme.md, mediaType: text/markdown}}
  - {name: config, type: directoryTree, input: {type: dir, path: conf, compress: true}}
  - {name: tool, type: executable, extraIdentity: {os: linux, architecture: amd64}, input: {type: utf8, text: amd}}
  - {name: tool, type: executable, extraIdentity: {os: linux, architecture: arm64}, input: {type: utf8, text: arm}}
  - {name: image, type: ociImage, input: {type: file, path: image.tar, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}}
  - {name: bytes, type: blob, input: {type: binary, data: AAEC}}
  sources:
  - {name: code, type: directoryTree, input: {type: dir, path: conf}}
  - {name: git, type: git, access: {type: gitHub, repoUrl: "github.com/acme/app", commit: abc}}
  componentReferences:
  - {name: lib, componentName: acme.org/lib, version: 1.0.0}
- name: acme.org/lib
  version: 1.0.0
  provider: {name: acme.org}
  resources:
  - {name: data, type: blob, input: {type: utf8, json: {b: 1, a: [2, 3]}}}
`

func sources(t testing.TB) string {
	return folder(t, map[string]string{
		"readme.md": "# hello\n", "conf/a.json": `{"a":1}`, "conf/sub/b.txt": "b", "image.tar": layout(t, "layer"),
	})
}

func TestPack(t *testing.T) {
	t.Parallel()
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			store := place(t)
			versions := mustPack(t, store, sources(t), everything)
			if len(versions) != 2 || versions[0].Descriptor().Component.Name != "acme.org/app" {
				t.Fatalf("versions are not in the order of the file: %v", versions)
			}
			v := fixture.Must[ocm.Version](t)(open(t, store, "acme.org/app", "1.0.0"))
			if v.Manifest().Digest != versions[0].Manifest().Digest {
				t.Error("what was returned is not what is there")
			}
			c := &v.Descriptor().Component
			for i := range c.Resources {
				r := &c.Resources[i]
				content := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), r.Access))
				if r.Access.Type != oci.LocalBlobType || r.Relation != ocm.RelationLocal || r.Version != "1.0.0" {
					t.Errorf("%s: %s %s %s", r.Name, r.Access.Type, r.Relation, r.Version)
				}
				if err := graph.Check(t.Context(), content, *r.Digest); err != nil {
					t.Errorf("%s: %v", r.Name, err)
				}
			}
			if c.CreationTime != "2026-01-02T03:04:05Z" || c.Provider.Name() != "acme.org" || len(c.Labels) != 1 || !c.Labels[0].Signing {
				t.Errorf("%+v", c)
			}
			if got := string(c.Sources[1].Access.Raw); got != `{"commit":"abc","repoUrl":"github.com/acme/app","type":"gitHub"}` {
				t.Errorf("source access: %s", got)
			}
			lib := fixture.Must[ocm.Version](t)(open(t, store, "acme.org/lib", "1.0.0"))
			if err := normalise.Matches(lib.Descriptor(), *c.References[0].Digest); err != nil || c.References[0].Digest.NormalisationAlgorithm != normalise.V3 {
				t.Errorf("reference digest %v: %v", c.References[0].Digest, err)
			}
		})
	}
}

// Progress names each element: two of one type would else be one item, whose bytes go backwards.
func TestProgressNamesElements(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	items := map[string]bool{}
	env := &ocm.Env{Job: ocm.NewJob(4), Dir: sources(t), Report: func(e ocm.Event) {
		mu.Lock()
		defer mu.Unlock()
		items[e.Item] = true
	}}
	if _, err := construct.Run(t.Context(), builtin.Kit(), env, oci.NewRepository(memory.New(), env), mustParse(t, everything), construct.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"acme.org/app:1.0.0 tool(architecture=amd64,os=linux)", "acme.org/app:1.0.0 tool(architecture=arm64,os=linux)", "acme.org/app:1.0.0 code"} {
		if !items[want] {
			t.Errorf("no progress of %q, found %q", want, slices.Sorted(maps.Keys(items)))
		}
	}
}

// Digests say what kind of content they are of: a blob's is that of its bytes, an artifact's that
// of its manifest, whether it comes in an archive or stays in a registry.
func TestDigests(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	publish(t, url, "team/app", "v1", "published")
	pinned := "@" + fixture.Image("published").Root.Digest.String()
	dir := folder(t, map[string]string{"file": "text", "image.tar": layout(t, "layer")})
	for _, c := range []struct{ name, how, algorithm, value, reference string }{
		{"blob", `input: {type: file, path: file}`, ocm.GenericBlobDigest, digest.FromString("text").Encoded(), ""},
		{"value", `input: {type: utf8, text: text}`, ocm.GenericBlobDigest, digest.FromString("text").Encoded(), ""},
		{"layout", `input: {type: file, path: image.tar, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}`, ocm.OCIArtifactDigest, fixture.Image("layer").Root.Digest.Encoded(), ""},
		{"archive that nobody calls a layout", `input: {type: file, path: image.tar, mediaType: application/x-tar}`, ocm.GenericBlobDigest, digest.FromString(layout(t, "layer")).Encoded(), ""},
		{"image", `access: {type: ociArtifact, imageReference: "` + url + `/team/app:v1"}`, ocm.OCIArtifactDigest, fixture.Image("published").Root.Digest.Encoded(), url + "/team/app:v1" + pinned},
		{"image by digest", `access: {type: ociArtifact/v1, imageReference: "` + url + `/team/app` + pinned + `"}`, ocm.OCIArtifactDigest, fixture.Image("published").Root.Digest.Encoded(), url + "/team/app" + pinned},
		{"image by both", `access: {type: OCIImage, x: [1], imageReference: "` + url + `/team/app:v1` + pinned + `"}`, ocm.OCIArtifactDigest, fixture.Image("published").Root.Digest.Encoded(), url + "/team/app:v1" + pinned},
		{"image without digest", `skipDigestGeneration: true, access: {type: ociArtifact, imageReference: "` + url + `/team/app:v1"}`, "", "", url + "/team/app:v1"},
		{"blob without digest", `skipDigestGeneration: true, input: {type: utf8, text: text}`, "", "", ""},
		{"nothing", `access: {type: none}`, "", "", ""},
		{"unknown access", `access: {type: carrierPigeon/v7, loft: north}`, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := mustPack(t, memory.New(), dir, minimal+"resources: [{name: res, type: t, "+c.how+"}]")[0]
			r := v.Descriptor().Component.Resources[0]
			if c.algorithm == "" {
				if r.Digest != nil {
					t.Errorf("found %v", r.Digest)
				}
			} else if want := (ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: c.algorithm, Value: c.value}); r.Digest.String() != want.String() {
				t.Errorf("expected %v, found %v", &want, r.Digest)
			}
			var a struct {
				ImageReference string      `json:"imageReference"`
				Rest           ocm.RawJSON `json:",embed"`
			}
			if err := r.Access.Decode(&a); err != nil || a.ImageReference != c.reference {
				t.Errorf("expected reference %q, found %s %v", c.reference, r.Access.Raw, err)
			}
			if c.name == "image by both" && !strings.Contains(string(r.Access.Raw), `"x":[1]`) {
				t.Errorf("members are lost: %s", r.Access.Raw)
			}
		})
	}
}

// The digest of what a transformer has made is that of what was made, by whatever algorithm.
func TestTransformer(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"})
	const how = minimal + "resources: [{name: res, type: helmChart, input: {type: helm, path: app}, transformer: {type: helm}"
	v := mustPack(t, memory.New(), dir, how+"}]")[0]
	r := v.Descriptor().Component.Resources[0]
	content := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), r.Access))
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), content.From, content.Root, 1<<20))
	if r.Digest.NormalisationAlgorithm != ocm.GenericBlobDigest || r.Digest.Value != digest.FromBytes(raw).Encoded() || content.Root.MediaType != chart.MediaTypeContent {
		t.Errorf("%v %+v", r.Digest, content.Root)
	}
	if _, err := chart.Scan(bytes.NewReader(raw)); err != nil {
		t.Error(err)
	}
	given := func(algorithm, value string) error {
		_, err := pack(t, memory.New(), dir, how+", digest: {hashAlgorithm: "+algorithm+", normalisationAlgorithm: genericBlobDigest/v1, value: \""+value+"\"}}]", construct.Options{})
		return err
	}
	if err := errors.Join(given("SHA-256", r.Digest.Value), given("SHA-512", digest.SHA512.FromBytes(raw).Encoded())); err != nil {
		t.Error(err)
	}
	fixture.WantErr(t, given("SHA-256", strings.Repeat("0", 64)), ocm.ErrDigest)
	fixture.WantErr(t, given("SHA-512", strings.Repeat("0", 128)), ocm.ErrDigest)
}

func TestDigestsThatTheFileGives(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	publish(t, url, "team/app", "v1", "published")
	dir := folder(t, map[string]string{"image.tar": layout(t, "layer")})
	wrong := strings.Repeat("0", 64)
	give := func(hash, kind, value string) string {
		return fmt.Sprintf(", digest: {hashAlgorithm: %s, normalisationAlgorithm: %s, value: %q}", hash, kind, value)
	}
	text, archive := `input: {type: utf8, text: text}`, `input: {type: file, path: image.tar, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}`
	byRef := `access: {type: ociArtifact, imageReference: "` + url + `/team/app:v1"}`
	layer, published := fixture.Image("layer").Root.Digest.Encoded(), fixture.Image("published").Root.Digest.Encoded()
	for _, c := range []struct {
		name, resource string
		want           error
	}{
		{"right", text + give("SHA-256", ocm.GenericBlobDigest, digest.FromString("text").Encoded()), nil},
		{"right, sha512", text + give("SHA-512", ocm.GenericBlobDigest, digest.SHA512.FromString("text").Encoded()), nil},
		{"right, artifact under the other name", archive + give("SHA-256", ocm.GenericBlobDigest, layer), nil},
		{"right, artifact", archive + give("SHA-256", ocm.OCIArtifactDigest, layer), nil},
		{"right, by reference", byRef + give("SHA-256", ocm.OCIArtifactDigest, published), nil},
		{"excluded", text + give(ocm.NoDigest, ocm.ExcludeFromSignature, ocm.NoDigest), nil},
		{"excluded by reference", byRef + give(ocm.NoDigest, ocm.ExcludeFromSignature, ocm.NoDigest), nil},
		{"wrong", text + give("SHA-256", ocm.GenericBlobDigest, wrong), ocm.ErrDigest},
		{"wrong, sha512", text + give("SHA-512", ocm.GenericBlobDigest, wrong+wrong), ocm.ErrDigest},
		{"wrong kind", text + give("SHA-256", ocm.OCIArtifactDigest, digest.FromString("text").Encoded()), ocm.ErrDigest},
		{"wrong, artifact", archive + give("SHA-256", ocm.OCIArtifactDigest, wrong), ocm.ErrDigest},
		{"wrong, by reference", byRef + give("SHA-256", ocm.OCIArtifactDigest, wrong), ocm.ErrDigest},
		{"wrong although none is wanted", text + ", skipDigestGeneration: true" + give("SHA-256", ocm.GenericBlobDigest, wrong), ocm.ErrDigest},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			file := mustParse(t, minimal+"resources: [{name: res, type: t, "+c.resource+"}]")
			given := file.Components[0].Resources[0].Digest.String()
			versions, err := pack(t, store, dir, minimal+"resources: [{name: res, type: t, "+c.resource+"}]", construct.Options{})
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				if got := versions[0].Descriptor().Component.Resources[0].Digest.String(); got != given {
					t.Errorf("expected the digest that was given, %s, found %s", given, got)
				}
				return
			}
			fixture.WantErr(t, err, c.want, "component acme.org/app:1.0.0", "resource res")
			if _, err := open(t, store, "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("the version is visible: %v", err)
			}
		})
	}
}

// A local access in the file names content that is in the repository already.
func TestContentThatIsThereAlready(t *testing.T) {
	t.Parallel()
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			store := place(t)
			first := mustPack(t, store, "", "name: acme.org/app\nversion: 0.9.0\nprovider: p\nresources: [{name: res, type: t, input: {type: utf8, text: there}}]")[0]
			there := digest.FromString("there")
			with := func(reference, more string) string {
				return minimal + `resources: [{name: res, type: t, access: {type: localBlob, mediaType: text/plain, localReference: "` + reference + `"}` + more + "}]"
			}
			v := mustPack(t, store, "", with(there.String(), ""))[0]
			if got, want := v.Descriptor().Component.Resources[0].Digest, first.Descriptor().Component.Resources[0].Digest; got.String() != want.String() {
				t.Errorf("expected %v, found %v", want, got)
			}
			for _, c := range []struct {
				text string
				want error
			}{
				{with(digest.FromString("not there").String(), ""), ocm.ErrNotFound},
				{with("nonsense", ""), ocm.ErrInvalid},
				{with(there.String(), `, digest: {hashAlgorithm: SHA-256, normalisationAlgorithm: genericBlobDigest/v1, value: "`+strings.Repeat("0", 64)+`"}`), ocm.ErrDigest},
				{with(there.String(), `, digest: {hashAlgorithm: SHA-512, normalisationAlgorithm: genericBlobDigest/v1, value: "`+strings.Repeat("0", 128)+`"}`), ocm.ErrInvalid},
			} {
				_, err := pack(t, store, "", strings.Replace(c.text, "version: 1.0.0", "version: 2.0.0", 1), construct.Options{})
				fixture.WantErr(t, err, c.want, "resource res")
				if _, err := open(t, store, "acme.org/app", "2.0.0"); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("the version is visible: %v", err)
				}
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	store := memory.New()
	old := mustPack(t, store, "", minimal+"resources: [{name: res, type: t, input: {type: utf8, text: old}}]")[0]
	changed := "components:\n- {name: acme.org/app, version: 1.0.0, provider: p, resources: [{name: res, type: t, input: {type: utf8, text: new}}]}\n" +
		"- {name: acme.org/parent, version: 1.0.0, provider: p, references: [{name: app, componentName: acme.org/app, version: 1.0.0}]}"
	_, err := pack(t, store, "", changed, construct.Options{})
	fixture.WantErr(t, err, ocm.ErrExists, "acme.org/app:1.0.0")
	_, err = pack(t, store, "", changed, construct.Options{Conflict: construct.Abort})
	fixture.WantErr(t, err, ocm.ErrExists)

	versions := fixture.Must[[]ocm.Version](t)(pack(t, store, "", changed, construct.Options{Conflict: construct.Skip}))
	if versions[0].Manifest().Digest != old.Manifest().Digest {
		t.Error("skip replaced the version")
	}
	if err := normalise.Matches(old.Descriptor(), *versions[1].Descriptor().Component.References[0].Digest); err != nil {
		t.Error("the reference is not to what was kept:", err)
	}
	versions = fixture.Must[[]ocm.Version](t)(pack(t, store, "", changed, construct.Options{Conflict: construct.Replace}))
	if versions[0].Manifest().Digest == old.Manifest().Digest {
		t.Error("replace kept the version")
	}
	if err := normalise.Matches(versions[0].Descriptor(), *versions[1].Descriptor().Component.References[0].Digest); err != nil {
		t.Error("the reference is not to the new version:", err)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	component := func(name string, refs ...string) string {
		s := "- {name: acme.org/" + name + ", version: 1.0.0, provider: p, componentReferences: ["
		for _, r := range refs {
			s += "{name: " + r + r + ", componentName: acme.org/" + r + ", version: 1.0.0},"
		}
		return s + "]}\n"
	}
	t.Run("cycle", func(t *testing.T) {
		store := memory.New()
		_, err := pack(t, store, "", "components:\n"+component("a", "b")+component("b", "c")+component("c", "a"), construct.Options{})
		fixture.WantErr(t, err, ocm.ErrInvalid, "acme.org/a:1.0.0 -> acme.org/b:1.0.0 -> acme.org/c:1.0.0 -> acme.org/a:1.0.0")
		_, err = pack(t, store, "", "components:\n"+component("a", "a"), construct.Options{})
		fixture.WantErr(t, err, ocm.ErrInvalid, "cycle")
		if _, err := open(t, store, "acme.org/a", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("visible: %v", err)
		}
	})
	t.Run("duplicates", func(t *testing.T) {
		store := memory.New()
		_, err := pack(t, store, "", "components:\n"+component("a")+component("a"), construct.Options{})
		fixture.WantErr(t, err, ocm.ErrInvalid, "acme.org/a:1.0.0 stands twice")
		_, err = pack(t, store, "", minimal+"resources: [{name: res, type: t, access: {type: none}}, {name: res, type: t, access: {type: none}}]", construct.Options{})
		fixture.WantErr(t, err, ocm.ErrInvalid, "identity")
	})
	t.Run("nowhere", func(t *testing.T) {
		_, err := pack(t, memory.New(), "", "components:\n"+component("a", "b"), construct.Options{})
		fixture.WantErr(t, err, ocm.ErrNotFound, "component acme.org/a:1.0.0", "reference bb")
	})
	t.Run("in the target and elsewhere", func(t *testing.T) {
		store, other := memory.New(), memory.New()
		b := mustPack(t, store, "", "components:\n"+component("b"))[0]
		c := mustPack(t, other, "", "components:\n"+component("c"))[0]
		var copied []string
		o := construct.Options{Find: find(other), CopyExternal: func(_ context.Context, v ocm.Version) error {
			copied = append(copied, v.Descriptor().Component.Name)
			return nil
		}}
		v := fixture.Must[[]ocm.Version](t)(pack(t, store, "", "components:\n"+component("a", "b", "c"), o))[0]
		for i, child := range []ocm.Version{b, c} {
			if err := normalise.Matches(child.Descriptor(), *v.Descriptor().Component.References[i].Digest); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(copied, []string{"acme.org/c"}) {
			t.Errorf("copied %q", copied)
		}
		o.CopyExternal = func(context.Context, ocm.Version) error { return ocm.ErrDenied }
		_, err := pack(t, store, "", "components:\n"+component("d", "c"), o)
		fixture.WantErr(t, err, ocm.ErrDenied, "reference cc")
	})
	t.Run("with a digest", func(t *testing.T) {
		store := memory.New()
		b := mustPack(t, store, "", "components:\n"+component("b"))[0]
		d := fixture.Must[ocm.Digest](t)(normalise.Digest(b.Descriptor(), ocm.SHA512, normalise.V4))
		with := func(value string) string {
			return minimal + "references: [{name: bb, componentName: acme.org/b, version: 1.0.0, digest: {hashAlgorithm: SHA-512, normalisationAlgorithm: jsonNormalisation/v4alpha1, value: " + value + "}}]"
		}
		_, err := pack(t, store, "", with(strings.Repeat("ab", 64)), construct.Options{})
		fixture.WantErr(t, err, ocm.ErrDigest, "reference bb")
		v := mustPack(t, store, "", with(d.Value))[0]
		if got := v.Descriptor().Component.References[0].Digest; got.String() != d.String() {
			t.Errorf("expected %v, found %v", &d, got)
		}
	})
}

// What fails leaves nothing visible, and says where it failed.
func TestFailingInput(t *testing.T) {
	t.Parallel()
	dir := sources(t)
	for _, c := range []struct {
		name, text string
		want       error
		texts      []string
	}{
		{"no such file", minimal + "resources: [{name: good, type: t, input: {type: utf8, text: x}}, {name: bad, type: t, input: {type: file, path: none}}]", ocm.ErrNotFound, []string{"resource bad"}},
		{"out of the folder", minimal + "resources: [{name: bad, type: t, input: {type: file, path: ../../etc/passwd}}]", ocm.ErrInvalid, []string{"resource bad"}},
		{"unknown input", minimal + "resources: [{name: bad, type: t, input: {type: magic}}]", ocm.ErrUnknownType, []string{"resource bad", "magic"}},
		{"no layout", minimal + "resources: [{name: bad, type: t, input: {type: file, path: readme.md, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}}]", ocm.ErrInvalid, []string{"resource bad"}},
		{"source", minimal + "sources: [{name: bad, type: t, input: {type: dir, path: none}}]", ocm.ErrNotFound, []string{"source bad"}},
		{"name", strings.Replace(minimal, "acme.org/app", "App", 1), ocm.ErrInvalid, []string{"component.name"}},
		{"no version", "name: acme.org/app\nprovider: p", ocm.ErrInvalid, []string{"component.version"}},
		{"creationTime", minimal + "creationTime: yesterday", ocm.ErrInvalid, []string{"component.creationTime"}},
		{"no type", minimal + "resources: [{name: bad, input: {type: utf8, text: x}}]", ocm.ErrInvalid, []string{"type"}},
		{"no access type", minimal + "resources: [{name: bad, type: t, access: {}}]", ocm.ErrInvalid, []string{"access"}},
		{"label twice", minimal + "labels: [{name: ll, value: 1}, {name: ll, value: 2}]", ocm.ErrInvalid, []string{"labels[1]"}},
		{"relation", minimal + "resources: [{name: bad, type: t, relation: sister, access: {type: none}}]", ocm.ErrInvalid, []string{"relation"}},
		{"image that is not there", minimal + `resources: [{name: bad, type: t, access: {type: ociArtifact, imageReference: "` + fixture.Registry(t) + `/none:v1"}}]`, ocm.ErrNotFound, []string{"resource bad"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			_, err := pack(t, store, dir, c.text, construct.Options{})
			fixture.WantErr(t, err, c.want, c.texts...)
			if _, err := open(t, store, "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) && !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("visible: %v", err)
			}
		})
	}
}

// The same input gives the same archive, byte for byte, however much is done at once.
func TestReproducible(t *testing.T) {
	t.Parallel()
	var first map[string]string
	for i, parallel := range []int{1, 8, 8, 3} {
		dir := filepath.Join(t.TempDir(), "ctf")
		env := &ocm.Env{Job: ocm.NewJob(parallel), Dir: sources(t)}
		for path := range tree(t, env.Dir) { // as after another checkout
			if err := os.Chtimes(filepath.Join(env.Dir, path), time.Now(), time.Now().Add(time.Duration(i)*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		repo := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)), env)
		if _, err := construct.Run(t.Context(), builtin.Kit(), env, repo, mustParse(t, everything), construct.Options{}); err != nil {
			t.Fatal(err)
		}
		switch got := tree(t, dir); {
		case i == 0:
			first = got
		case !maps.Equal(first, got):
			for name := range got {
				if first[name] != got[name] {
					t.Errorf("parallel %d: %s differs:\n%s\n%s", parallel, name, first[name], got[name])
				}
			}
			t.Errorf("parallel %d: %d files and %d files", parallel, len(first), len(got))
		}
	}
}

// tree is every file below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(raw)
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// A context that ends stops the packing of a large file.
func TestCancel(t *testing.T) {
	dir := folder(t, map[string]string{"big": ""})
	if err := os.Truncate(filepath.Join(dir, "big"), 1<<40); err != nil { // sparse
		t.Skip("the file system has no sparse files:", err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	env := &ocm.Env{Job: ocm.NewJob(2), Dir: dir, Report: func(e ocm.Event) {
		if e.Bytes > 0 { // in the middle of it
			cancel()
		}
	}}
	repo := oci.NewRepository(nowhere{memory.New()}, env)
	_, err := construct.Run(ctx, builtin.Kit(), env, repo, mustParse(t, minimal+"resources: [{name: res, type: t, input: {type: file, path: big, mediaType: text/plain}}]"), construct.Options{})
	fixture.WantErr(t, err, context.Canceled, "resource res")
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if time.Sleep(10 * time.Millisecond); i == 500 {
			t.Fatalf("%d goroutines, before it were %d", runtime.NumGoroutine(), before)
		}
	}
}

// An unknown conflict policy is none of the friendly ones.
func TestUnknownPolicyFails(t *testing.T) {
	t.Parallel()
	store := memory.New()
	mustPack(t, store, "", minimal)
	_, err := pack(t, store, "", minimal, construct.Options{Conflict: "overwrite-all"})
	fixture.WantErr(t, err, ocm.ErrExists)
}

// fickle is an input that is other bytes each time it is read.
type fickle struct{ bodies []string }

func (f *fickle) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	body := f.bodies[0]
	if len(f.bodies) > 1 {
		f.bodies = f.bodies[1:]
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

// A digest that needs a second look is compared with what was stored at the first.
func TestInputThatChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bodies []string
		want   error
	}{{[]string{"good"}, nil}, {[]string{"evil", "good"}, ocm.ErrDigest}, {[]string{"good", "evil"}, ocm.ErrDigest}, {[]string{"evil"}, ocm.ErrDigest}} {
		kit, env, store := builtin.Kit(), &ocm.Env{}, memory.New()
		kit.Inputs.Add(ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) {
			return ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: &fickle{c.bodies}}, nil
		}), "fickle")
		file := mustParse(t, minimal+"resources: [{name: res, type: t, input: {type: fickle}, digest: {hashAlgorithm: SHA-512, normalisationAlgorithm: genericBlobDigest/v1, value: "+digest.SHA512.FromString("good").Encoded()+"}}]")
		_, err := construct.Run(t.Context(), kit, env, oci.NewRepository(store, env), file, construct.Options{})
		if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%q: expected %v, found %v", c.bodies, c.want, err)
		}
		if _, err := open(t, store, "acme.org/app", "1.0.0"); c.want != nil && !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%q: the version is visible: %v", c.bodies, err)
		}
	}
}

// What the source tells costs no download: the digest and the access that is pinned.
func TestSourceTells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		told, given string
		want        error
	}{
		{told: digest.FromString("good").String()},
		{told: digest.FromString("good").String(), given: digest.FromString("good").Encoded()},
		{told: digest.FromString("good").String(), given: digest.FromString("evil").Encoded(), want: ocm.ErrDigest},
		{told: "sha256:beef", want: ocm.ErrInvalid},
	} {
		reads := 0
		pinned, err := ocm.NewSpec(map[string]string{"type": "told", "commit": "1"})
		if err != nil {
			t.Fatal(err)
		}
		kit, env, store := builtin.Kit(), &ocm.Env{}, memory.New()
		kit.Access.Add(ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) {
			return ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: 4, Digest: digest.Digest(c.told)}, Pinned: &pinned, From: counted{&reads}}, nil
		}), "told")
		given := ""
		if c.given != "" {
			given = "digest: {hashAlgorithm: SHA-256, normalisationAlgorithm: genericBlobDigest/v1, value: " + c.given + "}, "
		}
		file := mustParse(t, minimal+"resources: [{name: res, type: t, version: 1.0.0, "+given+"access: {type: told, branch: main}}]")
		_, err = construct.Run(t.Context(), kit, env, oci.NewRepository(store, env), file, construct.Options{})
		if c.want != nil {
			if !errors.Is(err, c.want) {
				t.Errorf("%+v: expected %q, found %v", c, c.want, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := open(t, store, "acme.org/app", "1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		r := v.Descriptor().Component.Resources[0]
		if "sha256:"+r.Digest.Value != c.told || string(r.Access.Raw) != string(pinned.Raw) || (reads > 0) != (c.given != "") {
			t.Errorf("%+v: found %s, %s after %d reads", c, r.Digest, r.Access.Raw, reads)
		}
	}
}

// counted delivers "good" and counts how often.
type counted struct{ reads *int }

func (c counted) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	*c.reads++
	return io.NopCloser(strings.NewReader("good")), nil
}
