// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/transfer"
)

// newEnv is the environment of one run.
func newEnv() *ocm.Env { return &ocm.Env{Job: ocm.NewJob(4)} }

// repository puts the mapping above a store, with an environment of its own.
func repository(s oci.Store) ocm.Repository { return oci.NewRepository(s, newEnv()) }

// publish puts an artifact into a registry and returns its reference with tag.
func publish(t testing.TB, url, name, tag string, c ocm.Content) string {
	t.Helper()
	put(t, fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, "", remote.Options{})).Repo(name), c, tag)
	return url + "/" + name + ":" + tag
}

// put stores an artifact in a repository of its own.
func put(t testing.TB, repo oci.Repo, c ocm.Content, tag string) {
	t.Helper()
	err := blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if raw != nil {
			to := ""
			if d.Digest == c.Root.Digest {
				to = tag
			}
			return repo.PutManifest(t.Context(), d, raw, to, oci.Any())
		}
		rc, err := c.From.Fetch(t.Context(), d)
		if err != nil {
			return err
		}
		_, err = repo.Push(t.Context(), d, rc)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// author writes one component version by hand.
type author struct {
	t     testing.TB
	repo  ocm.Repository
	draft ocm.Draft
	desc  *ocm.Descriptor
}

func write(t testing.TB, repo ocm.Repository, name, version string, base ocm.Version) *author {
	t.Helper()
	a := &author{t: t, repo: repo, draft: fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), name, version, base))}
	a.desc = &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: version, Provider: "acme.org"}}
	return a
}

// resource adds content with its digest.
func (a *author) resource(name string, c ocm.Content) *ocm.Resource {
	a.t.Helper()
	s := fixture.Must[ocm.Stored](a.t)(a.draft.Add(a.t.Context(), c, ""))
	d := fixture.Must[ocm.Digest](a.t)(graph.NewDigest(a.t.Context(), ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
	r := a.access(name, s.Access)
	r.Relation, r.Digest = ocm.RelationLocal, &d
	return r
}

// access adds a resource that is elsewhere.
func (a *author) access(name string, access ocm.Spec) *ocm.Resource {
	list := &a.desc.Component.Resources
	*list = append(*list, ocm.Resource{
		Element: ocm.Element{Name: name, Version: a.desc.Component.Version}, Type: "blob", Relation: ocm.RelationExternal, Access: access,
	})
	return &(*list)[len(*list)-1]
}

func (a *author) source(name string, c ocm.Content) {
	a.t.Helper()
	s := fixture.Must[ocm.Stored](a.t)(a.draft.Add(a.t.Context(), c, ""))
	a.desc.Component.Sources = append(a.desc.Component.Sources, ocm.Source{
		Element: ocm.Element{Name: name, Version: a.desc.Component.Version}, Type: "git", Access: s.Access,
	})
}

func (a *author) reference(v ocm.Version) {
	a.t.Helper()
	c := &v.Descriptor().Component
	d := fixture.Must[ocm.Digest](a.t)(normalise.Digest(v.Descriptor(), ocm.SHA256, normalise.V3))
	a.desc.Component.References = append(a.desc.Component.References, ocm.Reference{
		Element: ocm.Element{Name: fmt.Sprint("ref", len(a.desc.Component.References)), Version: c.Version}, ComponentName: c.Name, Digest: &d,
	})
}

// sign adds something that looks like a signature: its digest is right, its value is text.
func sign(t testing.TB, d *ocm.Descriptor, name, value string) {
	t.Helper()
	dg := fixture.Must[ocm.Digest](t)(normalise.Digest(d, ocm.SHA256, normalise.V3))
	d.Signatures = append(d.Signatures, ocm.Signature{Name: name, Digest: dg, Signature: ocm.SignatureValue{Algorithm: "test", MediaType: "text/plain", Value: value}})
}

func (a *author) commit() ocm.Version {
	a.t.Helper()
	return fixture.Must[ocm.Version](a.t)(a.draft.Commit(a.t.Context(), a.desc))
}

// amend changes a version where it is.
func amend(t testing.TB, repo ocm.Repository, v ocm.Version, edit func(d *ocm.Descriptor)) ocm.Version {
	t.Helper()
	d := v.Descriptor().Clone()
	edit(d)
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), d.Component.Name, d.Component.Version, v))
	return fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), d))
}

func text(s string) ocm.Content { return blob.Bytes("text/plain", []byte(s)) }

func spec(t testing.TB, raw string) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

// findIn looks referenced versions up in a repository.
func findIn(r ocm.Repository) graph.Find {
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		return r.Open(ctx, name, version)
	}
}

// plan loads the closure of a version and plans its transfer.
func plan(ctx context.Context, from, to ocm.Repository, v ocm.Version, o transfer.Options) (*transfer.Plan, error) {
	env := newEnv()
	g, err := graph.Walk(ctx, env.Job, findIn(from), []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	return transfer.NewPlan(ctx, builtin.Kit(), env, g, to, o)
}

// move plans and runs.
func move(ctx context.Context, from, to ocm.Repository, v ocm.Version, o transfer.Options) (*transfer.Plan, *transfer.Summary, error) {
	p, err := plan(ctx, from, to, v, o)
	if err != nil {
		return p, nil, err
	}
	s, err := p.Run(ctx)
	return p, s, err
}

func mustMove(t testing.TB, from, to ocm.Repository, v ocm.Version, o transfer.Options) (*transfer.Plan, *transfer.Summary) {
	t.Helper()
	p, s, err := move(t.Context(), from, to, v, o)
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

func reopen(t testing.TB, r ocm.Repository, v ocm.Version) ocm.Version {
	t.Helper()
	c := &v.Descriptor().Component
	return fixture.Must[ocm.Version](t)(r.Open(t.Context(), c.Name, c.Version))
}

// complete fails unless everything that a version says it has beside its descriptor is there,
// as its digests demand, and so is everything that it references.
func complete(t testing.TB, r ocm.Repository, v ocm.Version) {
	t.Helper()
	ctx, c := t.Context(), &v.Descriptor().Component
	for i := range c.Resources {
		res := &c.Resources[i]
		if content, err := v.Blob(ctx, res.Access); err == nil && !res.Digest.Empty() && !res.Digest.Excluded() {
			if err := graph.Check(ctx, content, *res.Digest); err != nil {
				t.Errorf("%s: resource %s: %v", c.Name, res.Name, err)
			}
		} else if err == nil && content.Root.Digest != "" {
			if err := blob.Check(ctx, content); err != nil {
				t.Errorf("%s: resource %s: %v", c.Name, res.Name, err)
			}
		} else if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: resource %s: %v", c.Name, res.Name, err)
		}
	}
	for i := range c.Sources {
		if content, err := v.Blob(ctx, c.Sources[i].Access); err == nil {
			if err := blob.Check(ctx, content); err != nil {
				t.Errorf("%s: source %s: %v", c.Name, c.Sources[i].Name, err)
			}
		}
	}
	for _, ref := range c.References {
		child, err := r.Open(ctx, ref.ComponentName, ref.Version)
		if err != nil {
			t.Errorf("%s: reference %s: %v", c.Name, ref.Name, err)
			continue
		}
		complete(t, r, child)
	}
}

// faulty is a store that counts what is written, and fails at one write.
type faulty struct {
	oci.Store
	mu     sync.Mutex
	failAt int  // the number of the write that fails, from 1; 0: none
	after  bool // the write is done, only the answer is lost
	writes []string
	reads  int // blobs and manifests that were fetched
}

var errFault = errors.New("the disk is on fire")

func (f *faulty) Repo(name string) oci.Repo { return &faultyRepo{f.Store.Repo(name), f, name} }

func (f *faulty) write(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes = append(f.writes, what)
	if len(f.writes) == f.failAt {
		return fmt.Errorf("write %d: %w", f.failAt, errFault)
	}
	return nil
}

// count tells how many writes had this text.
func (f *faulty) count(what string) int {
	return len(slices.DeleteFunc(slices.Clone(f.writes), func(s string) bool { return s != what }))
}

type faultyRepo struct {
	oci.Repo
	f    *faulty
	name string
}

func (r *faultyRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	r.f.mu.Lock()
	r.f.reads++
	r.f.mu.Unlock()
	return r.Repo.Fetch(ctx, d)
}

// Push fails half way: some bytes have gone into the store by then.
func (r *faultyRepo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	err := r.f.write(r.name + " blob " + d.Digest.String())
	if err != nil && r.f.after {
		_, lost := r.Repo.Push(ctx, d, src)
		return d, errors.Join(err, lost)
	}
	if err != nil {
		src = io.MultiReader(io.LimitReader(src, max(d.Size, 2)/2), failing{err})
	}
	return r.Repo.Push(ctx, d, src)
}

func (r *faultyRepo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	err := r.f.write(r.name + " manifest " + tag)
	if err != nil && r.f.after {
		return errors.Join(err, r.Repo.PutManifest(ctx, d, raw, tag, was))
	}
	if err != nil {
		return err
	}
	return r.Repo.PutManifest(ctx, d, raw, tag, was)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
