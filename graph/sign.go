// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ocm"
	"ocm/normalise"
)

// SignOptions says how to sign. The zero value of a field means its default.
type SignOptions struct {
	Name          string   // signature name; default "default"
	Algorithm     string   // default RSASSA-PSS; decides the signer unless Spec has a type
	Hash          string   // default SHA-256
	Normalisation string   // default jsonNormalisation/v3
	Spec          ocm.Spec // signer configuration
	Recursive     bool     // sign everything that is referenced too, with the same name and key
	Force         bool     // replace a signature of the same name
	DryRun        bool     // compute, do not store
	Shallow       bool     // do not read contents that have a digest already
	Check         bool     // demand that the new signature verifies before it is stored

	// Timestamp asks a time stamping authority about the digest that was signed; nil: nobody is asked.
	Timestamp func(ctx context.Context, d ocm.Digest) (*ocm.Timestamp, error)
	// Verifier is the configuration for judging a signature, as in [VerifyOptions].
	Verifier func(sig ocm.Signature) ocm.Spec
	// Settle is how long after a write a registry is looked at again: registries cannot compare and
	// set a tag, so that somebody who read it before the write may still replace it. Default
	// [DefaultSettle]. Other repositories need none.
	Settle time.Duration
}

func (o *SignOptions) defaults() {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.Name, "default"}, {&o.Algorithm, "RSASSA-PSS"}, {&o.Hash, ocm.SHA256}, {&o.Normalisation, normalise.V3}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Spec.Type == "" { // the name of an algorithm is the shortest configuration of its signer
		o.Spec = ocm.Spec{Type: o.Algorithm}
	}
}

// Signed is what became of one component version.
type Signed struct {
	Component string         `json:"component"` // name:version
	State     string         `json:"state"`     // one of the constants below
	Signature ocm.Signature  `json:"signature"`
	In        ocm.Repository `json:"-"` // where the version is
}

// States of [Signed].
const (
	StateSigned   = "signed"
	StateReplaced = "replaced"          // a signature of this name was there
	StateKept     = "kept"              // a good signature of this name was there
	StateUnjudged = "kept, not checked" // one was there that fits the version, but no key to check it with is known
	StateDryRun   = "not stored"
)

// Locate finds a component version, and the repository that it is in. [ocm.ErrNotFound] if it is
// nowhere.
type Locate func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error)

// Sign signs one component version, as [SignVersion] does.
func Sign(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, repo ocm.Repository, name, ref string, o SignOptions) (*ocm.Signature, error) {
	v, err := repo.Open(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	o.Recursive = false // where other versions are is not known
	list, err := SignVersion(ctx, kit, env, func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		v, err := find(ctx, name, version)
		return nil, v, err
	}, repo, v, o)
	if err != nil {
		return nil, err
	}
	return &list[0].Signature, nil
}

// SignVersion signs a component version: it completes missing digests, compares those that are there
// with what they are of, and adds the signature. With o.Recursive all versions that it references are
// signed before it, each where it was found; those that have a good signature of the name are left
// alone. The result lists what was done, children first, also before an error.
//
// All digests are computed and all names looked up before anything is signed. [ocm.ErrExists] if
// the signature's name is taken, [ocm.ErrDigest] if content is not what it should be, or if digests
// that have to be added would break what others signed.
//
// If somebody else adds a signature meanwhile both stay. If a version itself is changed meanwhile,
// that is [ocm.ErrConflict]: what was signed is not what is there.
func SignVersion(ctx context.Context, kit *ocm.Kit, env *ocm.Env, locate Locate, repo ocm.Repository, v ocm.Version, o SignOptions) ([]Signed, error) {
	o.defaults()
	s := &signing{kit: kit, env: env, o: o}
	if err := s.plan(ctx, locate, repo, v); err != nil {
		return nil, err
	}
	return s.run(ctx)
}

// signing is one run of [SignVersion] or [Attach].
type signing struct {
	kit    *ocm.Kit
	env    *ocm.Env
	o      SignOptions
	given  *ocm.Signature // made elsewhere
	judged bool           // given was found good
	tasks  []*task        // children before parents
}

// task is one version to be signed.
type task struct {
	key   string
	repo  ocm.Repository
	base  ocm.Version     // what is in the repository
	desc  *ocm.Descriptor // with all digests, and with the signatures of base
	sig   ocm.Signature
	state string
	wrote time.Time // when the signature was stored
}

// plan finds out what is to be signed, and whether it can be.
func (s *signing) plan(ctx context.Context, locate Locate, repo ocm.Repository, v ocm.Version) error {
	var mu sync.Mutex
	in := map[string]ocm.Repository{}
	g, err := Walk(ctx, s.env.Job, func(ctx context.Context, name, version string) (ocm.Version, error) {
		r, v, err := locate(ctx, name, version)
		mu.Lock()
		defer mu.Unlock()
		in[name+":"+version] = r
		return v, err
	}, []ocm.Version{v}, Options{Recursive: true})
	if err != nil {
		return err
	}
	root := g.Roots[0]
	in[root.Key()] = repo
	nodes := g.Nodes
	if !s.o.Recursive {
		nodes = g.Roots
	}
	c := newCompleter(s.kit, s.env, s.o.Shallow)
	if err := c.complete(ctx, nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		t := &task{key: n.Key(), repo: in[n.Key()], base: n.Version, desc: c.desc[n], state: StateSigned}
		if err := s.prepare(ctx, t, c.changed[n], n == root); err != nil {
			return fmt.Errorf("%s: %w", t.key, err)
		}
		s.tasks = append(s.tasks, t)
	}
	return nil
}

// prepare looks at the signatures that a version has.
func (s *signing) prepare(ctx context.Context, t *task, changed, root bool) (err error) {
	for i := range t.desc.Signatures {
		old := &t.desc.Signatures[i]
		switch named := old.Name == s.o.Name; {
		case named && s.o.Force:
			t.state = StateReplaced
		case named && root:
			return fmt.Errorf("signature %q: %w (choose another name, or replace it by --force)", old.Name, ocm.ErrExists)
		case named:
			t.sig = *old
			if t.state, err = s.judgeOld(ctx, t.desc, *old); err != nil {
				return fmt.Errorf("it has a signature %q, which is not good (choose another name, or replace it by --force): %w", old.Name, err)
			}
		case changed:
			if err := normalise.Matches(t.desc, old.Digest); err != nil {
				return fmt.Errorf("the digests that are missing would break signature %q, which was made without them; build the version again: %w", old.Name, err)
			}
		}
	}
	if t.state == StateKept || t.state == StateUnjudged {
		return nil
	}
	t.sig = ocm.Signature{Name: s.o.Name}
	t.sig.Digest, err = normalise.Digest(t.desc, s.o.Hash, s.o.Normalisation)
	return err
}

// judgeOld judges a signature that is there already, as far as keys are known.
func (s *signing) judgeOld(ctx context.Context, desc *ocm.Descriptor, old ocm.Signature) (state string, err error) {
	if err := normalise.Matches(desc, old.Digest); err != nil {
		return "", err
	}
	switch err := s.judge(ctx, old); {
	case errors.Is(err, ocm.ErrNotFound):
		return StateUnjudged, nil
	case err != nil:
		return "", err
	}
	return StateKept, nil
}

// judge asks the verifier of a signature.
func (s *signing) judge(ctx context.Context, sig ocm.Signature) error {
	var spec ocm.Spec
	if s.o.Verifier != nil {
		spec = s.o.Verifier(sig)
	}
	v, _, err := verifierOf(s.kit, sig, spec)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ocm.ErrSignature)
	}
	_, err = v.Verify(ctx, s.env, sig, spec)
	return err
}

// run signs and stores, one version after the other.
func (s *signing) run(ctx context.Context) ([]Signed, error) {
	done := make([]Signed, 0, len(s.tasks))
	for _, t := range s.tasks {
		if err := s.do(ctx, t); err != nil {
			return done, s.partly(done, fmt.Errorf("%s: signature %q: %w", t.key, s.o.Name, err))
		}
		done = append(done, Signed{Component: t.key, State: t.state, Signature: t.sig, In: t.repo})
	}
	return done, s.settle(ctx)
}

func (s *signing) do(ctx context.Context, t *task) error {
	if t.state == StateKept || t.state == StateUnjudged {
		return nil
	}
	if err := s.sign(ctx, t); err != nil {
		return err
	}
	if s.o.DryRun {
		t.state = StateDryRun
		return nil
	}
	return s.store(ctx, t)
}

// partly tells what was signed before something failed.
func (s *signing) partly(done []Signed, err error) error {
	var names []string
	for _, d := range done {
		if d.State == StateSigned || d.State == StateReplaced {
			names = append(names, d.Component)
		}
	}
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; signed before that, and complete: %s", err, strings.Join(names, ", "))
}

// sign makes the signature, or takes the one that was made elsewhere.
func (s *signing) sign(ctx context.Context, t *task) (err error) {
	if s.given != nil {
		return s.take(ctx, t)
	}
	t.sig, err = s.digest(ctx, t.sig.Digest)
	return err
}

// SignDigest signs a digest, of whatever it is, and stores nothing. Of the options all that say how to sign count.
func SignDigest(ctx context.Context, kit *ocm.Kit, env *ocm.Env, d ocm.Digest, o SignOptions) (ocm.Signature, error) {
	o.defaults()
	s := &signing{kit: kit, env: env, o: o}
	return s.digest(ctx, d)
}

func (s *signing) digest(ctx context.Context, d ocm.Digest) (ocm.Signature, error) {
	sig := ocm.Signature{Name: s.o.Name, Digest: d}
	signer, err := s.kit.Signers.For(s.o.Spec.Type)
	if err != nil {
		return sig, err
	}
	if sig.Signature, err = signer.Sign(ctx, s.env, s.o.Name, d, s.o.Spec); err != nil {
		return sig, err
	}
	if err := s.stamp(ctx, &sig); err != nil {
		return sig, err
	}
	if s.o.Check {
		if err := s.judge(ctx, sig); err != nil {
			return sig, fmt.Errorf("it was made, does not verify, and is thrown away: %w", err)
		}
	}
	return sig, nil
}

func (s *signing) stamp(ctx context.Context, sig *ocm.Signature) (err error) {
	if s.o.Timestamp == nil || sig.Timestamp != nil {
		return nil
	}
	if sig.Timestamp, err = s.o.Timestamp(ctx, sig.Digest); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	return nil
}

// put adds a signature to a list, in place of one of the same name.
func put(list []ocm.Signature, sig ocm.Signature) []ocm.Signature {
	out := slices.Clone(list)
	if i := named(out, sig.Name); i >= 0 {
		out[i] = sig
		return out
	}
	return append(out, sig)
}

func named(list []ocm.Signature, name string) int {
	return slices.IndexFunc(list, func(s ocm.Signature) bool { return s.Name == name })
}
