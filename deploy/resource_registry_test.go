// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci/remote"
)

// registry is a registry in which acme.org/app:1.0.0 refers to acme.org/backend:2.0.0 as backend, which has an image and a text.
type registry struct {
	host     string
	repo     ocm.Repository
	env      *ocm.Env
	resolver *resolve.Resolver
	place    resolve.Place
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	url := fixture.Registry(t)
	config := fixture.Must[*resolve.Config](t)(resolve.Read(nil))
	spec := fixture.Must[ocm.Spec](t)(ocm.RepositorySpec(ocm.OCIRepositoryType, url))
	r := &registry{host: url[strings.LastIndex(url, "/")+1:], env: &ocm.Env{Temp: t.TempDir(), Job: ocm.NewJob(4)}, place: resolve.Place{Repository: spec, Config: config}}
	r.resolver = resolve.New(resolve.Options{Env: r.env})
	t.Cleanup(func() {
		if err := r.resolver.Close(); err != nil {
			t.Error(err)
		}
	})
	r.repo = fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), builtin.Kit(), r.env, spec))
	backend := r.publish(t, "acme.org/backend", "2.0.0", nil, map[string]ocm.Content{"image": fixture.Image("layer"), "text": blob.Bytes("text/plain", []byte("text"))})
	r.publish(t, "acme.org/app", "1.0.0", backend, nil)
	return r
}

// publish writes a component version with resources, and a reference to another one.
func (r *registry) publish(t *testing.T, name, at string, to ocm.Version, contents map[string]ocm.Content) ocm.Version {
	t.Helper()
	ctx := t.Context()
	draft := fixture.Must[ocm.Draft](t)(r.repo.Draft(ctx, name, at, nil))
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: at, Provider: "acme.org"}}
	for element, c := range contents {
		s := fixture.Must[ocm.Stored](t)(draft.Add(ctx, c, ""))
		sum := fixture.Must[ocm.Digest](t)(graph.NewDigest(ctx, ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{Element: ocm.Element{Name: element, Version: at}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access, Digest: &sum})
	}
	if to != nil {
		c := to.Descriptor().Component
		sum := fixture.Must[ocm.Digest](t)(normalise.Digest(to.Descriptor(), ocm.SHA256, normalise.V3))
		d.Component.References = append(d.Component.References, ocm.Reference{Element: ocm.Element{Name: "backend", Version: c.Version}, ComponentName: c.Name, Digest: &sum})
	}
	return fixture.Must[ocm.Version](t)(draft.Commit(ctx, d))
}

// amend changes a version where it is.
func (r *registry) amend(t *testing.T, name, at string, edit func(*ocm.Descriptor)) {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(r.repo.Open(t.Context(), name, at))
	d := v.Descriptor().Clone()
	edit(d)
	draft := fixture.Must[ocm.Draft](t)(r.repo.Draft(t.Context(), name, at, v))
	fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), d))
}

// component is a Component that took what is in the registry for a version.
func (r *registry) component(t *testing.T, name, version string) *v1alpha1.Component {
	t.Helper()
	a := fixture.Must[*resolve.Answer](t)(r.resolver.Version(t.Context(), r.place, resolve.Question{Component: name, Version: version}))
	c := takenComponent()
	c.Status.Component = &v1alpha1.ComponentInfo{RepositorySpec: rawJSON(string(r.place.Repository.Raw)), Component: name, Version: version, Digest: digestInfo(&a.Digest)}
	return c
}

// look lets a Resource be reconciled with nothing canned.
func (r *registry) look(t *testing.T, obj *v1alpha1.Resource, c *v1alpha1.Component) (string, *testbed) {
	t.Helper()
	bed := newTestbed(t, obj, c)
	bed.resolver = r.resolver
	reconciler := fixture.Must[*resources](t)(newResources(bed.base))
	bed.drive(t, reconciler, obj)
	return ready(obj), bed
}

// What is published can be pulled.
func TestResourceInRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	obj := wantedResource()
	obj.Spec.AdditionalStatusFields = rawJSON(`{"ref":"cel.bind(o, resource.access.toOCI(), o.registry + '/' + o.repository + '@' + o.digest)", "name":"resource.access.toOCI().repository"}`)
	if got, _ := r.look(t, obj, r.component(t, "acme.org/app", "1.0.0")); got != happy {
		t.Fatal(got)
	}
	oci := fixture.Must[any](t)(decoded(obj.Status.Additional.Raw)).(map[string]any)
	if ref, _ := oci["ref"].(string); !strings.HasPrefix(ref, r.host+"/component-descriptors/acme.org/backend@sha256:") || oci["name"] != "component-descriptors/acme.org/backend" {
		t.Fatal(oci)
	} else if c := fixture.Must[ocm.Content](t)(remote.OpenArtifact(t.Context(), r.env, "http://"+ref)); !blob.IsManifest(c.Root.MediaType) || c.Root.Digest.Encoded() != obj.Status.Resource.Digest.Value {
		t.Error(c.Root, obj.Status.Resource.Digest)
	}
	if c := obj.Status.Component; c.Component != "acme.org/backend" || c.Version != "2.0.0" || c.Digest == nil {
		t.Errorf("%+v", c)
	}
}

func TestBadResourcesInRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	taken := r.component(t, "acme.org/app", "1.0.0")
	for name, c := range map[string]struct {
		change func(*v1alpha1.ResourceReference)
		want   string
	}{
		"name": {func(ref *v1alpha1.ResourceReference) { ref.Resource["name"] = "other" }, "False GetOCMResourceFailed: spec.resource.byReference: resource name=other of acme.org/backend:2.0.0: not found, there is"},
		"path": {func(ref *v1alpha1.ResourceReference) { ref.ReferencePath[0]["name"] = "frontend" }, "False GetReferenceFailed: spec.resource.byReference: referencePath[0]: reference name=frontend of acme.org/app:1.0.0: not found, there is name=backend"},
		"path's end": {func(ref *v1alpha1.ResourceReference) {
			ref.ReferencePath = append(ref.ReferencePath, v1alpha1.Identity{"name": "x"})
		}, "referencePath[1]"},
		"no identity": {func(ref *v1alpha1.ResourceReference) { ref.Resource = nil }, "it says nothing, expected a name"},
		"no artifact": {func(ref *v1alpha1.ResourceReference) { ref.Resource["name"] = "text" }, `False StatusSetFailed: spec.additionalStatusFields.oci: toOCI: local blob`},
	} {
		obj := wantedResource()
		c.change(&obj.Spec.Resource.ByReference)
		if got, _ := r.look(t, obj, taken.DeepCopy()); !strings.Contains(got, c.want) || obj.Status.Resource != nil {
			t.Errorf("%s: %s; expected %s", name, got, c.want)
		}
	}
	plain := wantedResource()
	plain.Spec.Resource.ByReference.Resource["name"], plain.Spec.AdditionalStatusFields = "text", nil
	if got, _ := r.look(t, plain, taken.DeepCopy()); !strings.HasPrefix(got, "True ") || plain.Status.Additional != nil {
		t.Error(got)
	}
	// The content is not what its digest says.
	r.publish(t, "acme.org/liar", "1.0.0", nil, map[string]ocm.Content{"image": blob.Bytes("text/plain", []byte("a"))})
	r.amend(t, "acme.org/liar", "1.0.0", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.Value = strings.Repeat("0", 64) })
	liar := wantedResource()
	liar.Spec.Resource.ByReference.ReferencePath, liar.Spec.AdditionalStatusFields = nil, nil
	if got, _ := r.look(t, liar, r.component(t, "acme.org/liar", "1.0.0")); !strings.HasPrefix(got, "False VerificationFailed: ") || liar.Status.Resource != nil {
		t.Error(got)
	}
	// The version is another one than the Component found.
	r.amend(t, "acme.org/app", "1.0.0", func(d *ocm.Descriptor) { d.Component.Provider = "evil.example" })
	late := wantedResource()
	if got, _ := r.look(t, late, taken); !strings.HasPrefix(got, "False ComponentDriftResolutionInProgress: ") || late.Status.Resource != nil {
		t.Error(got)
	}
}
