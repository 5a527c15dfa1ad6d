// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

// crowd is a repository whose Open and Commit let nobody pass before a number of callers is there.
type crowd struct {
	ocm.Repository
	opens, commits *gate
}

type gate struct {
	mu   sync.Mutex
	left int
	open chan struct{}
}

func newGate(n int) *gate { return &gate{left: n, open: make(chan struct{})} }

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	if g.left--; g.left == 0 {
		close(g.open)
	}
	g.mu.Unlock()
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c crowd) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	if err := c.opens.pass(ctx); err != nil {
		return nil, err
	}
	return c.Repository.Open(ctx, name, ref)
}

func (c crowd) Draft(ctx context.Context, name, version string, base ocm.Version) (ocm.Draft, error) {
	d, err := c.Repository.Draft(ctx, name, version, base)
	return crowdDraft{d, c.commits}, err
}

type crowdDraft struct {
	ocm.Draft
	commits *gate
}

func (d crowdDraft) Commit(ctx context.Context, desc *ocm.Descriptor) (ocm.Version, error) {
	if err := d.commits.pass(ctx); err != nil {
		return nil, err
	}
	return d.Draft.Commit(ctx, desc)
}

// siblings are n versions that nobody references.
func siblings(t testing.TB, r ocm.Repository, n int) *graph.Graph {
	t.Helper()
	var roots []ocm.Version
	for i := range n {
		a := write(t, r, fmt.Sprintf("acme.org/part/p%05d", i), "1.0.0", nil)
		a.resource("data", text(fmt.Sprint("data ", i)))
		roots = append(roots, a.commit())
	}
	return fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), nil, findIn(r), roots, graph.Options{}))
}

// The target is asked about as many versions at once as the job allows, and an archive may let hundreds
// of commits wait to write its index for all of them.
func TestManyVersionsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Minute, errors.New("the others never came"))
	defer cancel()
	env := newEnv()
	g := siblings(t, repository(memory.New()), 300)
	dst := crowd{oci.NewRepository(memory.New(), env), newGate(env.Job.Parallel()), newGate(256)}
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(ctx, builtin.Kit(), env, g, dst, transfer.Options{}))
	s := fixture.Must[*transfer.Summary](t)(p.Run(ctx))
	if s.Written != 300 {
		t.Errorf("%+v", s)
	}
	for i, vp := range p.Versions { // in order, whoever was faster
		if vp.Component != g.Nodes[i].Key() {
			t.Fatalf("version %d is %s, expected %s", i, vp.Component, g.Nodes[i].Key())
		}
	}
}

// counting is a transport that counts requests.
type counting struct {
	mu       sync.Mutex
	requests []string
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.requests = append(c.requests, r.Method+" "+r.URL.Path)
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (c *counting) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.requests
	c.requests = nil
	return list
}

// A version that the target has as it is costs one request, however much is in it; so does one that it
// lacks, while it is planned.
func TestRequestsOfAnUnchangedVersion(t *testing.T) {
	t.Parallel()
	wire := &counting{}
	env := newEnv()
	env.HTTP = wire
	url := fixture.Registry(t)
	dst := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(env, url, "", remote.Options{})), env)
	src := repository(memory.New())
	v := product(t, src)
	all := func() *transfer.Plan {
		g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{Recursive: true}))
		return fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, g, dst, transfer.Options{}))
	}
	p := all()
	if got := wire.take(); len(got) != 3 {
		t.Errorf("planning 3 new versions: %q", got)
	}
	s := fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	if s.Blobs == 0 || s.Moved == 0 || s.Written != 3 || s.Unchanged != 0 || s.Seconds <= 0 {
		t.Errorf("%+v", s)
	}
	wire.take()
	p = all()
	s = fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	if got := wire.take(); len(got) != 3 || s.Unchanged != 3 || s.Moved != 0 {
		t.Errorf("3 unchanged versions: %q\n%+v", got, s)
	}
}

// adopter is a repository that can take over manifests, or says that it cannot.
type adopter struct {
	ocm.Repository
	mu      sync.Mutex
	adopted []string
	err     error
}

func (a *adopter) Draft(ctx context.Context, name, version string, base ocm.Version) (ocm.Draft, error) {
	d, err := a.Repository.Draft(ctx, name, version, base)
	return adopterDraft{d, a}, err
}

type adopterDraft struct {
	ocm.Draft
	a *adopter
}

func (d adopterDraft) Adopt(_ context.Context, v ocm.Version, _ bool) (ocm.Version, error) {
	d.a.mu.Lock()
	defer d.a.mu.Unlock()
	d.a.adopted = append(d.a.adopted, v.Descriptor().Component.Name)
	return v, d.a.err
}

// publishing is an adopter in a registry.
type publishing struct {
	*adopter
	ocm.Publisher
}

// A version of which nothing changes is taken over as it is, where the target can do that.
func TestAdopt(t *testing.T) {
	t.Parallel()
	src := repository(memory.New())
	v := product(t, src)
	far := write(t, src, "acme.org/far", "1.0.0", nil)
	far.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+publish(t, fixture.Registry(t), "a", "v", fixture.Image("i"))+`"}`))
	w := far.commit()
	bad := write(t, src, "acme.org/bad", "1.0.0", nil)
	bad.resource("data", text("data")).Digest.Value = fmt.Sprintf("%064d", 0)
	x := bad.commit()

	a := &adopter{Repository: repository(memory.New())}
	if _, s := mustMove(t, src, a, v, transfer.Options{}); len(a.adopted) != 3 || s.Written != 3 || s.Contents != 6 {
		t.Errorf("%q %+v", a.adopted, s)
	}
	a = &adopter{Repository: repository(memory.New())}
	mustMove(t, src, a, w, transfer.Options{CopyResources: true})
	if len(a.adopted) != 0 {
		t.Error("an access changes, so the manifest does")
	}
	_, _, err := move(t.Context(), src, a, x, transfer.Options{})
	if fixture.WantErr(t, err, ocm.ErrDigest, "resource data"); len(a.adopted) != 0 {
		t.Error("a version was adopted whose content is not what it says")
	}
	// what is uploaded is no longer beside the descriptor
	named := write(t, src, "acme.org/named", "1.0.0", nil)
	named.named("image", "team/app:v1", fixture.Image("i"))
	a = &adopter{Repository: repository(memory.New())}
	b := &publishing{a, repository(base(t, fixture.Registry(t), "")).(ocm.Publisher)}
	if p, _ := mustMove(t, src, b, named.commit(), transfer.Options{UploadAs: transfer.UploadOCIArtifact}); len(a.adopted) != 0 || p.Versions[0].Moves[0].Action != transfer.Upload {
		t.Errorf("%q %+v", a.adopted, p.Versions[0])
	}
	a = &adopter{Repository: repository(memory.New()), err: fmt.Errorf("not that: %w", errors.ErrUnsupported)}
	mustMove(t, src, a, v, transfer.Options{})
	complete(t, a, reopen(t, a, v))
	a = &adopter{Repository: repository(memory.New()), err: errFault}
	_, _, err = move(t.Context(), src, a, v, transfer.Options{})
	fixture.WantErr(t, err, errFault, "acme.org/base")
}

// Equal manifests say all: what is in them is not looked at, whatever it is.
func TestEqualManifestsAreIdentical(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("data", text("data"))
	a.desc.Component.Labels = []ocm.Label{{Name: "huge", Value: ocm.RawJSON("1e999"), Signing: true}} // cannot be normalised
	v := a.commit()
	mustMove(t, src, dst, v, transfer.Options{})
	if w := reopen(t, dst, v); w.Manifest().Digest != v.Manifest().Digest {
		t.Fatal("the manifest changed")
	}
	if p, s := mustMove(t, src, dst, v, transfer.Options{}); p.Versions[0].State != transfer.Identical || s.Unchanged != 1 {
		t.Errorf("%s %+v", p.Versions[0].State, s)
	}
}

// fleeting loses a version, or gets another one, right after it was asked for its manifest.
type fleeting struct {
	*oci.Repository
	between func()
}

func (f fleeting) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	f.between()
	return f.Repository.Open(ctx, name, ref)
}

func TestAttack_TargetChangesWhileItIsPlanned(t *testing.T) {
	t.Parallel()
	ref := publish(t, fixture.Registry(t), "team/app", "v1", fixture.Image("layer"))
	for name, between := range map[string]func(t *testing.T, dst ocm.Repository, store *memory.Store){
		"gone": func(t *testing.T, _ ocm.Repository, store *memory.Store) { store.Close() },
		"emptied": func(t *testing.T, dst ocm.Repository, _ *memory.Store) {
			amend(t, dst, fixture.Must[ocm.Version](t)(dst.Open(t.Context(), "acme.org/app", "1.0.0")), func(d *ocm.Descriptor) { d.Component.Resources = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, store := repository(memory.New()), memory.New()
			dst := oci.NewRepository(store, newEnv())
			v := withImage(t, src, ref)
			mustMove(t, src, dst, v, transfer.Options{})
			_, err := plan(t.Context(), src, fleeting{dst, func() { between(t, dst, store) }}, v, transfer.Options{CopyResources: true})
			fixture.WantErr(t, err, ocm.ErrConflict, "acme.org/app:1.0.0")
		})
	}
}
