// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/graph"
	"ocm/inspect"
	"ocm/normalise"
	"ocm/session"
)

const (
	// MaxGraph bounds the descriptors of one answer, in bytes as they are kept.
	MaxGraph = 64 << 20

	versionCost = 4 << 10 // bytes that a version takes beside its descriptor, about
	decoded     = 5       // how many times its document a descriptor takes, about
	stepCost    = 256     // bytes of a step in a report, about
)

// Question asks for a component version.
type Question struct {
	Component, Version string
	// Digest of the normalised descriptor that must be found, as it stands in an [Answer]; nil: any.
	Digest  *ocm.Digest
	Demands []Demand // all must be met; none: the version is not verified
	Content bool     // read the content of the whole graph, too
}

// Key is equal for equal questions.
func (q Question) Key() string { return keyOf(q) }

// Answer is a component version that was loaded with all that it references. It stays what it is, and may be used concurrently.
type Answer struct {
	Component, Version string
	Digest             ocm.Digest // of the normalised descriptor: SHA-256, jsonNormalisation/v4alpha1
	Verified           bool
	Signers            []Signer
	Time               time.Time     // of the verification
	Report             *graph.Report // nil if nothing was demanded

	session *session.Session
	graph   *graph.Graph
	nodes   map[string]*graph.Node // by name:version
	found   *memory
}

// Signer is who made a signature that is good.
type Signer struct{ Signature, Algorithm, Name string }

// Size is about how many bytes the answer takes.
func (a *Answer) Size() int64 {
	var size int64
	if a.found != nil { // an answer that was made by hand has nothing
		size = a.found.bytes
	}
	if a.Report != nil {
		size += stepCost * int64(len(a.Report.Steps))
	}
	return size
}

// Version loads a component version and everything that it references, and verifies it. Digests of references are compared in any case.
// [ocm.ErrSignature] if a demand is not met or cannot be judged, [ocm.ErrDigest] if something is not what it should be, [ocm.ErrLimit]
// if it is too large. What could not be read is the error of reading it: it says nothing about signatures.
//
// Unless the question asks for content, none is read: [Resource.Check] and [Resource.Open] compare it when it is used.
func (r *Resolver) Version(ctx context.Context, p Place, q Question) (*Answer, error) {
	s, err := r.session(p.Config)
	if err != nil {
		return nil, err
	}
	return answer(ctx, s.Share(ocm.NewJob(r.o.Parallel)), p, q)
}

func answer(ctx context.Context, s *session.Session, p Place, q Question) (*Answer, error) {
	own, root, err := open(ctx, s, p, q)
	if err != nil {
		return nil, err
	}
	a := &Answer{Component: q.Component, Version: q.Version, session: s, Time: s.Env.Time(),
		found: &memory{session: s, locate: s.Locator(own, q.Component, nil), versions: map[string]located{}}}
	if err := a.found.add(own, root); err != nil {
		return nil, err
	}
	if err := a.identify(root.Descriptor(), q.Digest); err != nil {
		return nil, err
	}
	if len(q.Demands) == 0 {
		err = a.walk(ctx, root)
	} else {
		err = a.verify(ctx, root, q)
	}
	if err != nil {
		return nil, err
	}
	a.nodes = make(map[string]*graph.Node, len(a.graph.Nodes))
	for _, n := range a.graph.Nodes {
		a.nodes[n.Key()] = n
	}
	if q.Content && len(q.Demands) == 0 {
		return a, a.contents(ctx)
	}
	return a, nil
}

// open opens the version that is asked for. What a repository has under another name is not that.
func open(ctx context.Context, s *session.Session, p Place, q Question) (ocm.Repository, ocm.Version, error) {
	own, err := s.Existing(ctx, p.Repository)
	if err != nil {
		return nil, nil, err
	}
	root, err := own.Open(ctx, q.Component, q.Version)
	if err != nil {
		return nil, nil, err
	}
	if c := &root.Descriptor().Component; c.Name != q.Component || c.Version != q.Version {
		return nil, nil, fmt.Errorf("%s: expected %s:%s, found %s:%s: %w", own, q.Component, q.Version, c.Name, c.Version, ocm.ErrDigest)
	}
	return own, root, nil
}

// identify computes the digest, and compares it.
func (a *Answer) identify(d *ocm.Descriptor, want *ocm.Digest) (err error) {
	at := a.Component + ":" + a.Version
	if a.Digest, err = digestOf(d); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if want == nil {
		return nil
	}
	if err := normalise.Matches(d, *want); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

func digestOf(d *ocm.Descriptor) (ocm.Digest, error) {
	return normalise.Digest(d, ocm.SHA256, normalise.V4)
}

// walk loads what is referenced. Digests of references are compared, where there are some.
func (a *Answer) walk(ctx context.Context, root ocm.Version) (err error) {
	a.graph, err = graph.Walk(ctx, a.session.Env.Job, a.found.find, []ocm.Version{root}, graph.Options{Recursive: true})
	return err
}

// verify demands signatures. What is used afterwards is the graph that was verified.
func (a *Answer) verify(ctx context.Context, root ocm.Version, q Question) error {
	trust, err := trustOf(q.Demands, a.session.Env.Credentials)
	if err != nil {
		return err
	}
	env := *a.session.Env
	env.Credentials = trust
	report, err := graph.Verify(ctx, a.session.Kit, &env, a.found.find, root, trust.options(q.Content))
	if err != nil {
		return err
	}
	if failed := a.found.failed(); failed != nil { // nobody knows what would have been found
		return failed
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("%s:%s: %w", a.Component, a.Version, err)
	}
	if a.graph = report.Graph(); a.graph == nil {
		return fmt.Errorf("%s:%s: the references were not followed: %w", a.Component, a.Version, ocm.ErrSignature)
	}
	a.Verified, a.Report = true, report
	for _, sig := range report.Signatures {
		if sig.Verdict == graph.OK {
			a.Signers = append(a.Signers, Signer{sig.Name, sig.Algorithm, sig.Signer})
		}
	}
	return nil
}

// contents compares all resources that have a digest with it.
func (a *Answer) contents(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(a.session.Env.Job.Parallel())
	for _, n := range a.graph.Nodes {
		for i := range n.Descriptor().Component.Resources {
			res := &n.Descriptor().Component.Resources[i]
			if res.Digest.Empty() || res.Digest.Excluded() || !graph.HasContent(res.Access.Type) {
				continue
			}
			g.Go(func() error {
				c, err := graph.Content(ctx, a.session.Kit, a.session.Env, n.Version, res.Access)
				if err == nil {
					err = graph.Check(ctx, c, *res.Digest)
				}
				if err != nil {
					return fmt.Errorf("%s: resource %s: %w", n.Key(), res.Element.String(), err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// memory opens each version once, so that what is looked at twice is the same, and bounds what is kept.
type memory struct {
	session *session.Session
	locate  inspect.Locate

	mu       sync.Mutex
	versions map[string]located
	bytes    int64
	err      error // the first that is about reading, not about what was read
}

type located struct {
	ocm.Version
	in ocm.Spec
}

func (m *memory) add(in ocm.Repository, v ocm.Version) error {
	c := &v.Descriptor().Component
	cost := int64(versionCost)
	if doc := v.Descriptor().Origin(); doc != nil {
		cost += decoded * int64(len(doc.Bytes))
	}
	spec := m.session.SpecOf(in)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions[c.Name+":"+c.Version] = located{v, spec}
	if m.bytes += cost; m.bytes > MaxGraph {
		return fmt.Errorf("the descriptors of all that is referenced take more than %d bytes: %w", int64(MaxGraph), ocm.ErrLimit)
	}
	return nil
}

func (m *memory) find(ctx context.Context, name, version string) (ocm.Version, error) {
	if have := m.get(name + ":" + version); have.Version != nil {
		return have.Version, nil
	}
	in, v, err := m.locate(ctx, name, version)
	if err == nil {
		if c := &v.Descriptor().Component; c.Name != name || c.Version != version {
			return v, nil // who asked refuses it
		}
		return v, m.add(in, v)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("%s:%s is referenced: %w", name, version, err)
	}
	return nil, err
}

func (m *memory) get(key string) located {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[key]
}

// failed is what could not be read, nil if everything could.
func (m *memory) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
