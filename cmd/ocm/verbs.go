// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/construct"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
	"ocm/transfer"
)

// What the commands ask of the packages below. Each method is one verb: it gets checked
// options and returns what is to be printed.

// add constructs component versions and returns their descriptors in the order of the file.
func (s *session) add(ctx context.Context, r addRequest) ([]*ocm.Descriptor, error) {
	raw, err := readFile(r.constructor, construct.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("constructor %s: %w", r.constructor, err)
	}
	unused := maps.Clone(r.variables)
	file, err := construct.Parse(raw, func(name string) (string, bool) {
		delete(unused, name)
		if v, ok := r.variables[name]; ok {
			return v, true
		}
		return os.LookupEnv(name)
	}, r.version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.constructor, err)
	}
	if len(unused) > 0 {
		return nil, usagef("%s is not used in the constructor %s", strings.Join(slices.Sorted(maps.Keys(unused)), ", "), r.constructor)
	}
	if s.env.Dir == "" {
		s.env.Dir = filepath.Dir(r.constructor)
	}
	target, err := s.openTarget(ctx, r.repositoryType, r.repository)
	if err != nil {
		return nil, err
	}
	find := helpful(s.Finder(nil, "", s.beside(r.lookup)), "a referenced version is in the same constructor, in the target, where a configured resolver says, or in a repository that --lookup names")
	o := construct.Options{Conflict: construct.Conflict(r.conflict), SkipDigest: r.skipReferences, Find: find}
	if r.copyExternal {
		o.CopyExternal = func(ctx context.Context, v ocm.Version) error {
			return s.copyInto(ctx, target, v, o.Find)
		}
	}
	versions, err := construct.Run(ctx, s.kit, s.env, target, file, o)
	if err != nil {
		return nil, err
	}
	out := make([]*ocm.Descriptor, len(versions))
	for i, v := range versions {
		out[i] = v.Descriptor()
	}
	return out, nil
}

// copyInto transfers a referenced version with all that it references.
func (s *session) copyInto(ctx context.Context, target ocm.Repository, v ocm.Version, find graph.Find) error {
	g, err := graph.Walk(ctx, s.env.Job, find, []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		return err
	}
	plan, err := transfer.NewPlan(ctx, s.kit, s.env, g, target, transfer.Options{Unfinished: true})
	if err != nil {
		return err
	}
	_, err = plan.Run(ctx)
	return err
}

// helpful adds a next step to what is said of a referenced version that is nowhere.
func helpful(find graph.Find, hint string) graph.Find {
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		v, err := find(ctx, name, version)
		if errors.Is(err, ocm.ErrNotFound) {
			err = withHint(err, hint)
		}
		return v, err
	}
}

// load opens the version that c names with all versions that it references.
func (s *session) load(ctx context.Context, c ocm.Coordinates) (*node, error) {
	repo, v, err := s.openVersion(ctx, c)
	if err != nil {
		return nil, err
	}
	g, err := graph.Walk(ctx, s.env.Job, s.Finder(repo, c.Component, nil), []ocm.Version{v}, graph.Options{Recursive: true, Trust: true})
	if err != nil {
		return nil, err
	}
	return nodesOf(g)[g.Roots[0]], nil
}

// nodesOf makes what is printed of a graph; a version that is referenced twice is one node.
func nodesOf(g *graph.Graph) map[*graph.Node]*node {
	out := make(map[*graph.Node]*node, len(g.Nodes))
	for _, n := range g.Nodes { // children first
		m := &node{descriptor: n.Descriptor()}
		for _, child := range n.Children {
			m.children = append(m.children, out[child])
		}
		out[n] = m
	}
	return out
}

// verify verifies signatures and what they cover. It returns what was found, nil if there was
// nothing to look at, and an error unless everything that was asked for is good.
func (s *session) verify(ctx context.Context, r verifyRequest) (*graph.Report, error) {
	judges, err := s.judges(r.trust)
	if err != nil {
		return nil, err
	}
	repo, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return nil, err
	}
	find := helpful(s.Finder(repo, r.at.Component, nil), "referenced versions are verified too: \"ocm transfer cv --recursive\" brings them along, --shallow leaves them out")
	return judges.judge(ctx, find, v, graph.VerifyOptions{Signatures: r.signatures, Shallow: r.shallow, AllCovered: r.allCovered})
}

// judges are the verifiers with the keys that were given.
func (s *session) judges(t trust) (*verifiers, error) {
	judges, err := s.verifiers(t)
	if err != nil {
		return nil, err
	}
	return judges, judges.keysOfVerify(t)
}

// judge verifies a version that was opened.
func (v *verifiers) judge(ctx context.Context, find graph.Find, version ocm.Version, o graph.VerifyOptions) (*graph.Report, error) {
	if err := v.demand(version.Descriptor().Signatures, o.Signatures); err != nil {
		return nil, err
	}
	o.Spec = v.specOf
	report, err := graph.Verify(ctx, v.s.kit, v.s.env, find, version, o)
	if err != nil {
		return nil, v.s.keyError(err)
	}
	return report, v.s.keyError(report.Err())
}

// transfer copies versions, or only plans to with r.dryRun, and returns what was or would
// be done, referenced versions first.
func (s *session) transfer(ctx context.Context, r transferRequest) (transferred, error) {
	var out transferred
	if _, err := s.specOf(r.targetType, r.target); err != nil {
		return out, err // before anything is read
	}
	if r.document == nil {
		if err := s.transferDefaults(&r); err != nil {
			return out, err
		}
	}
	s.readBeside(ctx, r)
	source, roots, err := s.transferRoots(ctx, r)
	if err != nil {
		return out, err
	}
	target, err := s.openTarget(ctx, r.targetType, r.target)
	if err != nil {
		return out, err
	}
	find := helpful(s.Finder(source, r.from.Component, s.beside(r.lookup)), "--lookup names another repository to look in; without --recursive references are not followed")
	proof, err := s.proof(r, find, roots)
	if err != nil {
		return out, err
	}
	g, err := graph.Walk(ctx, s.env.Job, find, roots, r.walk(target))
	if err != nil {
		return out, err
	}
	if !r.recursive {
		out.left = leftBehind(g)
	}
	plan, err := s.plan(ctx, r, g, target, proof)
	if err != nil {
		return out, err
	}
	if err := s.runOrShow(ctx, r, plan, roots, &out); err != nil {
		return out, err
	}
	return out, drain(ctx, r.from.Type, r.from.Repository, source)
}

// readBeside lets versions that the target has already be read there, unless the source has to prove
// itself. What cannot be opened is told by those who need it.
func (s *session) readBeside(ctx context.Context, r transferRequest) {
	if r.verify != nil || r.from.Repository == "" || isPipe(r.from.Type, r.from.Repository) || isPipe(r.targetType, r.target) {
		return
	}
	source, err := s.openSource(ctx, r.from.Type, r.from.Repository)
	if err != nil {
		return
	}
	target, err := s.openTarget(ctx, r.targetType, r.target)
	from, ok := source.(*oci.Repository)
	to, is := target.(*oci.Repository)
	if err == nil && ok && is {
		from.Beside(to)
	}
}

// plan decides what is to be done, or compares with what was planned before.
func (s *session) plan(ctx context.Context, r transferRequest, g *graph.Graph, target ocm.Repository, proof *transfer.Proof) (*transfer.Plan, error) {
	if r.document != nil {
		return transfer.Replay(ctx, s.kit, s.env, g, target, r.document, proof)
	}
	plan, err := transfer.NewPlan(ctx, s.kit, s.env, g, target, transfer.Options{
		CopyResources: r.copyResources, CopyLocal: r.copyLocal, CopySources: r.copySources, OmitAccess: r.omitTypes,
		Select: r.selected.rules, Platforms: r.selected.platforms, NoReferrers: r.noReferrers,
		UploadAs: r.uploadAs, Rules: r.rules, Overwrite: r.overwrite, KeepExisting: r.noUpdate, Proof: proof,
	})
	if err != nil {
		return nil, err
	}
	for _, text := range r.selected.rules.Unused() {
		s.env.Log.Warn("a rule of --include or --exclude matches nothing", "rule", text)
	}
	return plan, nil
}

// runOrShow does what was planned, or finds out what people want to know of it.
func (s *session) runOrShow(ctx context.Context, r transferRequest, plan *transfer.Plan, roots []ocm.Version, out *transferred) (err error) {
	if !r.dryRun {
		out.versions = movedOf(plan)
		out.done, err = plan.Run(ctx)
		return s.keyError(withHint(err, lacking(ctx, r, plan, err)))
	}
	if err := plan.Measure(ctx); err != nil {
		return err
	}
	out.plan = plan.Document(r.source(roots), repositoryName{r.targetType, r.target}.String())
	return nil
}

// lacking tells how much a transfer has still to store for which the disk was too small; empty if that is not what failed, or
// nobody can say. What comes by a pipe cannot be looked at once more.
func lacking(ctx context.Context, r transferRequest, plan *transfer.Plan, err error) string {
	if !errors.Is(err, syscall.ENOSPC) || isPipe(r.from.Type, r.from.Repository) || isPipe(r.targetType, r.target) || plan.Measure(ctx) != nil {
		return ""
	}
	t := plan.Totals()
	if t.Unknown > 0 {
		return fmt.Sprintf("%s are still to be stored, and %d contents of unknown size: %s", size(t.Bytes), t.Unknown, fullHint(err))
	}
	return fmt.Sprintf("%s are still to be stored: %s", size(t.Bytes), fullHint(err))
}

// leftBehind counts the versions that are referenced and not in the graph.
func leftBehind(g *graph.Graph) int {
	here, left := map[string]bool{}, map[string]bool{}
	for _, n := range g.Nodes {
		here[n.Key()] = true
	}
	for _, n := range g.Nodes {
		for _, ref := range n.Descriptor().Component.References {
			if key := ref.ComponentName + ":" + ref.Version; !here[key] {
				left[key] = true
			}
		}
	}
	return len(left)
}

// isMissing reports whether a repository lacks a version of this name, whatever is in it.
func isMissing(ctx context.Context, repo ocm.Repository, v ocm.Version) (bool, error) {
	c := &v.Descriptor().Component
	var err error
	if h, ok := repo.(interface {
		Head(ctx context.Context, name, version string) (digest.Digest, error)
	}); ok {
		_, err = h.Head(ctx, c.Name, c.Version)
	} else {
		_, err = repo.Open(ctx, c.Name, c.Version)
	}
	if errors.Is(err, ocm.ErrNotFound) {
		return true, nil
	}
	return false, err
}

func movedOf(p *transfer.Plan) []moved {
	out := make([]moved, len(p.Versions))
	for i, v := range p.Versions {
		out[i] = moved{Component: v.Component, State: v.State, Moves: make([]move, len(v.Moves)), Attached: v.Attached}
		for k, m := range v.Moves {
			out[i].Moves[k] = move{m.Kind, m.Element, m.Access, m.Action, m.Attached}
		}
	}
	return out
}

// hash normalises a version, with r.recursive also what it references.
func (s *session) hash(ctx context.Context, r hashRequest) ([]hashed, error) {
	repo, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return nil, err
	}
	find := s.Finder(repo, r.at.Component, nil)
	if !r.recursive {
		d, err := graph.Complete(ctx, s.kit, s.env, find, v, true)
		if err != nil {
			return nil, err
		}
		h, err := hashOf(d, r)
		return []hashed{h}, err
	}
	g, err := graph.Walk(ctx, s.env.Job, find, []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	descriptors, _, err := graph.CompleteAll(ctx, s.kit, s.env, g, true)
	if err != nil {
		return nil, err
	}
	var out []hashed
	for _, n := range slices.Backward(g.Nodes) { // the root first
		h, err := hashOf(descriptors[n], r)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func hashOf(d *ocm.Descriptor, r hashRequest) (h hashed, err error) {
	h = hashed{Component: d.Component.Name, Version: d.Component.Version}
	if h.Normalised, err = normalise.Normalise(d, r.normalisation); err != nil {
		return h, err
	}
	h.Digest, err = normalise.Digest(d, r.hash, r.normalisation)
	return h, err
}
