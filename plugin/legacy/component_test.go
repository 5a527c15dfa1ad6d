// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/plugin/legacy"
	"ocm/transfer"
)

// A component goes into a plugin's repository and out again, and is signed and verified there by a plugin, as any other.
func TestWholeComponent(t *testing.T) {
	t.Parallel()
	repoKit, _, _ := alone(t, "repo", legacy.Options{})
	signKit, _, _ := alone(t, "sign", legacy.Options{})
	kit := builtin.Kit()
	kit.Repositories, kit.Signers, kit.Verifiers = repoKit.Repositories, signKit.Signers, signKit.Verifiers
	e := env(t, "Hash", "key")
	e.Job = ocm.NewJob(4)
	from, plugins, back := oci.NewRepository(memory.New(), e), folder(t, kit, ""), oci.NewRepository(memory.New(), e)
	source := written(t, from)

	if s := transferred(t, kit, e, from, plugins); s.Written != 1 {
		t.Errorf("to the plugin: %+v", s)
	}
	if s := transferred(t, kit, e, from, plugins); s.Written != 0 {
		t.Errorf("once more: %+v", s)
	}
	config := func(ocm.Signature) ocm.Spec { return spec(t, "hash/v1") }
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		return plugins.Open(ctx, name, version)
	}
	if _, err := graph.Sign(t.Context(), kit, e, find, plugins, "acme.org/x", "1.0.0", graph.SignOptions{Spec: config(ocm.Signature{}), Verifier: config, Check: true}); err != nil {
		t.Fatal(err)
	}
	transferred(t, kit, e, plugins, back)
	for _, r := range []ocm.Repository{plugins, back} {
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/x", "1.0.0"))
		rep := fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, e, r.Open, v, graph.VerifyOptions{Spec: config}))
		if rep.Err() != nil {
			t.Errorf("%s: %v", r, rep.Err())
		}
		for i := range v.Descriptor().Component.Resources {
			if v.Descriptor().Component.Resources[i].Digest.Value != source.Descriptor().Component.Resources[i].Digest.Value {
				t.Errorf("%s: resource %d has another digest", r, i)
			}
		}
		other := *e
		other.Credentials = one{"Hash", "another key"}
		rep = fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, &other, r.Open, v, graph.VerifyOptions{Spec: config}))
		if !errors.Is(rep.Err(), ocm.ErrSignature) {
			t.Errorf("%s: with another key: %v", r, rep.Err())
		}
		rep = fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, e, r.Open, v, graph.VerifyOptions{}))
		if !errors.Is(rep.Err(), ocm.ErrSignature) { // nobody knows the algorithm
			t.Errorf("%s: without a configuration: %v", r, rep.Err())
		}
	}
}

// written is a version with a text, an artifact and a source.
func written(t testing.TB, r ocm.Repository) ocm.Version {
	t.Helper()
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/x", "1.0.0", nil))
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{
		Name: "acme.org/x", Version: "1.0.0", Provider: "acme.org", Labels: []ocm.Label{{Name: "l", Value: ocm.RawJSON(`{"b":1,"a":[1.0]}`)}},
	}}
	for i, c := range []ocm.Content{blob.Bytes("text/plain", []byte("a text")), fixture.Index("layer")} {
		s := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), c, ""))
		digest := fixture.Must[ocm.Digest](t)(graph.NewDigest(t.Context(), c, ocm.SHA256))
		desc.Component.Resources = append(desc.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprint("r", i), Version: "1.0.0"}, Type: "blob", Relation: "local", Access: s.Access, Digest: &digest,
		})
	}
	s := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), blob.Bytes("text/x-source", []byte("a source")), ""))
	desc.Component.Sources = []ocm.Source{{Element: ocm.Element{Name: "s", Version: "1.0.0"}, Type: "git", Access: s.Access}}
	return fixture.Must[ocm.Version](t)(d.Commit(t.Context(), desc))
}

func transferred(t testing.TB, kit *ocm.Kit, e *ocm.Env, from, to ocm.Repository) *transfer.Summary {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(from.Open(t.Context(), "acme.org/x", "1.0.0"))
	g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), e.Job, from.Open, []ocm.Version{v}, graph.Options{}))
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), kit, e, g, to, transfer.Options{}))
	return fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
}

// More repositories than a plugin may have processes are no trouble as long as they are closed.
func TestManyRepositories(t *testing.T) {
	t.Parallel()
	kit, s, _ := alone(t, "told", legacy.Options{})
	var open []ocm.Repository
	for range legacy.MaxRepositories {
		r := folder(t, kit, t.TempDir())
		write1(t, r, "1.0.0", blob.Bytes("text/plain", []byte("x")))
		open = append(open, r)
	}
	opener := fixture.Must[ocm.RepositoryOpener](t)(kit.Repositories.For("Folder/v1"))
	_, err := opener(t.Context(), nil, spec(t, "Folder/v1", "baseUrl", t.TempDir()))
	fixture.WantErr(t, err, ocm.ErrLimit, "plugin told")
	for range 2 { // twice is once
		if err := open[0].Close(); err != nil {
			t.Error(err)
		}
	}
	write1(t, folder(t, kit, t.TempDir()), "1.0.0", blob.Bytes("text/plain", []byte("x")))
	if _, err := opener(t.Context(), nil, spec(t, "Folder/v1", "baseUrl", t.TempDir())); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected ErrLimit, found %v", err)
	}
	if n := s.started.Load(); n != legacy.MaxRepositories+1 {
		t.Errorf("%d processes", n)
	}
	for _, r := range open[1:] {
		if _, err := r.Open(t.Context(), "acme.org/x", "1.0.0"); err != nil {
			t.Error(err)
		}
	}
}
