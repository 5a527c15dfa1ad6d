// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
)

// What [Check] finds of an element.
const (
	Present   = "ok"
	Missing   = "missing"
	Damaged   = "damaged"
	LeftOut   = "left out"  // of this copy, as it says itself; or a referenced version that is nowhere
	Elsewhere = "elsewhere" // only referred to, and not looked at
	Failed    = "failed"    // it could not be found out
)

// Finding is what was found of one element of a component version, or of one part of it.
type Finding struct {
	Component string `json:"component"` // name:version
	Element   string `json:"element"`   // "resource image", "source code", "reference lib", "component version"
	Status    string `json:"status"`    // one of the constants above
	Detail    string `json:"detail,omitempty"`

	err error
}

// MaxFindings bounds what a report lists. What is fine is left out of longer ones, the rest is counted.
const MaxFindings = 100_000

// CheckReport tells what a check found.
type CheckReport struct {
	Findings []Finding      // the roots first, then what they reference
	Versions int            // that were looked at
	Blobs    int            // that were read, each once
	Bytes    int64          // of them
	Count    map[string]int // of all findings, by status
}

// Err is nil if everything is there and as it should be; with leftOut, what was left out may be
// missing. [ocm.ErrDigest] if anything is damaged.
func (r *CheckReport) Err(leftOut bool) error {
	var parts []string
	for _, status := range []string{Damaged, Missing, Failed, LeftOut} {
		if n := r.Count[status]; n > 0 && (status != LeftOut || !leftOut) {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	switch text := strings.Join(parts, ", "); {
	case text == "":
		return nil
	case r.Count[Damaged] > 0:
		return fmt.Errorf("%s: %w", text, ocm.ErrDigest)
	case r.Count[Failed] > 0:
		return fmt.Errorf("%s: %w", text, r.firstFailure())
	default:
		return fmt.Errorf("incomplete: %s", text)
	}
}

func (r *CheckReport) firstFailure() error {
	for _, f := range r.Findings {
		if f.Status == Failed {
			return f.err
		}
	}
	return errors.New("see above")
}

// Root is a component version to begin with.
type Root struct {
	In             ocm.Repository
	Component, Ref string      // Ref is the version, or the digest of its manifest
	Version        ocm.Version // nil: it is opened by these
}

// Locate finds a referenced version and the repository that it is in. [ocm.ErrNotFound] if it is
// nowhere.
type Locate func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error)

// CheckOptions say what is looked at. The zero value looks at the versions that are named, and at what is
// in their repository.
type CheckOptions struct {
	Recursive bool // follow references
	Remote    bool // read also what is only referred to
}

// Check finds out whether component versions are complete and as they were: every blob beside a
// descriptor is there and has the bytes that its digest promises, images with everything below
// them; references lead somewhere, and to what they name. It goes on after whatever it finds. Signatures are
// not looked at. Each blob is read once, in parallel as far as env.Job allows. The error is non-nil
// only if the context ended, or a limit of a closure is exceeded ([ocm.ErrLimit]).
func Check(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Locate, roots []Root, o CheckOptions) (*CheckReport, error) {
	c := &checker{kit: kit, env: env, find: find, o: o, known: map[string]*checked{}, results: map[resultKey]*result{}, places: map[placeKey]*blobRead{}}
	if err := c.load(ctx, roots); err != nil {
		return nil, err
	}
	c.cycles()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(env.Job.Parallel())
	for _, v := range c.versions {
		if v.Version == nil {
			continue
		}
		d := &v.Descriptor().Component
		for i := range d.Resources {
			r := &d.Resources[i]
			g.Go(func() error { c.element(gctx, v, i, "resource", &r.Element, r.Access, r.Digest); return gctx.Err() })
		}
		for i := range d.Sources {
			s := &d.Sources[i]
			g.Go(func() error {
				c.element(gctx, v, len(d.Resources)+i, "source", &s.Element, s.Access, nil)
				return gctx.Err()
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, context.Cause(ctx)
	}
	return c.report(), nil
}

type checker struct {
	kit  *ocm.Kit
	env  *ocm.Env
	find Locate
	o    CheckOptions

	versions []*checked
	known    map[string]*checked // by name:version

	mu      sync.Mutex
	results map[resultKey]*result // of contents, which may be used by many versions
	places  map[placeKey]*blobRead
	blobs   int
	bytes   int64
}

// checked is a version and what was found of it. Its Version is nil if it could not be opened.
type checked struct {
	ocm.Version
	key      string
	in       ocm.Repository
	err      error
	children []*checked
	own      []Finding         // of the version itself and its references
	elements map[int][]Finding // by place in the descriptor, resources first
	mu       sync.Mutex
}

func (v *checked) add(element, status, detail string, err error) {
	v.own = append(v.own, Finding{Component: v.key, Element: element, Status: status, Detail: detail, err: err})
}

// load opens the versions, generation by generation.
func (c *checker) load(ctx context.Context, roots []Root) error {
	var generation []*checked
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.env.Job.Parallel())
	opened := make([]*checked, len(roots))
	for i, r := range roots {
		opened[i] = &checked{key: r.Component + ":" + r.Ref, in: r.In, elements: map[int][]Finding{}}
		g.Go(func() error {
			return c.env.Job.Do(gctx, func() error {
				if opened[i].Version = r.Version; r.Version == nil {
					opened[i].Version, opened[i].err = r.In.Open(gctx, r.Component, r.Ref)
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, v := range opened {
		if v.Version != nil {
			d := &v.Descriptor().Component
			v.key = d.Name + ":" + d.Version
		}
		if c.known[v.key] == nil {
			c.known[v.key] = v
			generation = append(generation, v)
		}
		if v.err != nil {
			v.add("component version", statusOf(v.err), v.err.Error(), v.err)
		}
	}
	for depth := 0; len(generation) > 0; depth++ {
		if depth > graph.MaxDepth {
			return fmt.Errorf("references nested more than %d deep: %w", graph.MaxDepth, ocm.ErrLimit)
		}
		c.versions = append(c.versions, generation...)
		var err error
		if generation, err = c.next(ctx, generation); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// next opens what a generation references and was not opened before.
func (c *checker) next(ctx context.Context, generation []*checked) ([]*checked, error) {
	if !c.o.Recursive {
		return nil, nil
	}
	var next []*checked
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.env.Job.Parallel())
	for _, v := range generation {
		if v.Version == nil {
			continue
		}
		for _, ref := range v.Descriptor().Component.References {
			key := ref.ComponentName + ":" + ref.Version
			child := c.known[key]
			if child == nil {
				child = &checked{key: key, elements: map[int][]Finding{}}
				c.known[key] = child
				next = append(next, child)
				g.Go(func() error {
					return c.env.Job.Do(gctx, func() error {
						child.in, child.Version, child.err = c.find(gctx, ref.ComponentName, ref.Version)
						return nil
					})
				})
			}
			v.children = append(v.children, child)
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if len(c.known) > graph.MaxVersions {
		return nil, fmt.Errorf("more than %d component versions: %w", graph.MaxVersions, ocm.ErrLimit)
	}
	for _, v := range generation {
		for i, child := range v.children {
			v.reference(&v.Descriptor().Component.References[i], child)
		}
	}
	return next, nil
}

// reference tells where a reference leads.
func (v *checked) reference(ref *ocm.Reference, child *checked) {
	element := "reference " + ref.Element.String()
	if child.Version == nil {
		status := statusOf(child.err)
		if status == Missing { // whether it was lost, or never brought along, nobody can tell
			status = LeftOut
		}
		v.add(element, status, fmt.Sprintf("%s: %v", child.key, child.err), child.err)
		return
	}
	if d := &child.Descriptor().Component; d.Name+":"+d.Version != child.key {
		err := fmt.Errorf("expected %s, found %s:%s: %w", child.key, d.Name, d.Version, ocm.ErrDigest)
		v.add(element, Damaged, err.Error(), err)
		return
	}
	if ref.Digest.Empty() {
		v.add(element, Present, child.key, nil)
		return
	}
	if err := normalise.Matches(child.Descriptor(), *ref.Digest); err != nil {
		v.add(element, statusOf(err), err.Error(), err)
		return
	}
	v.add(element, Present, child.key, nil)
}

// cycles finds versions that reference themselves on some way: taking away again and again what
// references nothing that is left leaves these, and what references them.
func (c *checker) cycles() {
	left, parents := map[*checked]int{}, map[*checked][]*checked{}
	var free []*checked
	for _, v := range c.versions {
		left[v] = len(v.children)
		if len(v.children) == 0 {
			free = append(free, v)
		}
		for _, child := range v.children {
			parents[child] = append(parents[child], v)
		}
	}
	for len(free) > 0 {
		v := free[len(free)-1]
		free = free[:len(free)-1]
		delete(left, v)
		for _, p := range parents[v] {
			if left[p]--; left[p] == 0 {
				free = append(free, p)
			}
		}
	}
	for _, v := range c.versions {
		if _, in := left[v]; in {
			err := fmt.Errorf("its references form a cycle: %w", ocm.ErrInvalid)
			v.add("component version", Damaged, err.Error(), err)
		}
	}
}

// statusOf is what an error means for what was looked at.
func statusOf(err error) string {
	switch {
	case err == nil:
		return Present
	case errors.Is(err, ocm.ErrDigest), errors.Is(err, ocm.ErrInvalid), errors.Is(err, ocm.ErrLimit):
		return Damaged
	case errors.Is(err, ocm.ErrNotFound):
		return Missing
	}
	return Failed
}

// element tells about one resource or source.
func (c *checker) element(ctx context.Context, v *checked, at int, kind string, e *ocm.Element, access ocm.Spec, want *ocm.Digest) {
	list := c.content(ctx, v, e, access, want)
	for i := range list {
		list[i].Component, list[i].Element = v.key, kind+" "+e.String()
	}
	v.mu.Lock()
	v.elements[at] = list
	v.mu.Unlock()
}

func (c *checker) content(ctx context.Context, v *checked, e *ocm.Element, access ocm.Spec, want *ocm.Digest) []Finding {
	switch {
	case !graph.HasContent(access.Type):
		return []Finding{{Status: Present, Detail: "no content"}}
	case graph.IsOmitted(access.Type):
		return []Finding{{Status: LeftOut, Detail: omittedText(access)}}
	case !oci.IsLocal(access.Type) && !oci.IsRelative(access.Type) && !c.o.Remote:
		return []Finding{{Status: Elsewhere, Detail: access.Type}}
	}
	found, err := graph.Content(ctx, c.kit, c.env, v.Version, access)
	if err != nil {
		return []Finding{problem(err)}
	}
	place := any(v.in)
	switch {
	case oci.IsRelative(access.Type):
		place = [2]any{v.in, string(access.Raw)}
	case !oci.IsLocal(access.Type):
		place = string(access.Raw)
	}
	if want != nil && (want.Empty() || want.Excluded()) {
		want = nil
	}
	return c.once(resultKey{place, v.Descriptor().Component.Name, rootOf(found, access), platformText(e.Labels), digestText(want)}, func() []Finding {
		return c.whole(ctx, placeKey{place: place, component: v.Descriptor().Component.Name}, found, graph.Platforms(e.Labels), want)
	})
}

// rootOf names content; what is stored in parts is named by its access.
func rootOf(c ocm.Content, access ocm.Spec) string {
	if c.Root.Digest == "" {
		return string(access.Raw)
	}
	return c.Root.MediaType + " " + c.Root.Digest.String()
}

func platformText(labels []ocm.Label) string {
	return fmt.Sprint(graph.Platforms(labels))
}

func digestText(d *ocm.Digest) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func omittedText(access ocm.Spec) string {
	o, err := graph.ParseOmitted(access)
	if err != nil {
		return err.Error()
	}
	text := o.Access.Type
	if o.Digest != "" {
		text += " " + o.Digest
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

func problem(err error) Finding {
	return Finding{Status: statusOf(err), Detail: err.Error(), err: err}
}

// report puts the findings into order.
func (c *checker) report() *CheckReport {
	r := &CheckReport{Findings: []Finding{}, Blobs: c.blobs, Bytes: c.bytes, Count: map[string]int{}}
	take := func(list []Finding) {
		for _, f := range list {
			r.Count[f.Status]++
			if len(r.Findings) < MaxFindings && (f.Status != Present || len(r.Findings) < MaxFindings/2) {
				r.Findings = append(r.Findings, f)
			}
		}
	}
	for _, v := range c.versions {
		if v.Version == nil {
			take(v.own)
			continue
		}
		r.Versions++
		for i := range len(v.elements) {
			take(v.elements[i])
		}
		take(v.own)
	}
	return r
}
