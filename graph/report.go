// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// Verdicts of a [Step] and of a [SignatureResult].
const (
	OK       = "ok"
	Failed   = "failed"
	Excluded = "excluded" // a signature could cover it, and does not; nothing was checked
	Skipped  = "skipped"  // not checked: less was asked for, or something failed before; the detail says which
)

// Checks of a [Step] that do not come from a verifier. Those that do are the checks of [ocm.Finding].
const (
	stepPinned     = "manifest digest"
	stepDescriptor = "descriptor digest"
	stepSignature  = "signature"
	stepCoverage   = "coverage"
	stepReference  = "reference digest"
	stepNested     = "nested digests"
	stepContent    = "content digest"
	stepIntegrity  = "stored bytes" // against the address, not covered by the signature
)

// Step is one check of a verification.
type Step struct {
	Component string `json:"component"`        // name:version
	Object    string `json:"object"`           // "resource image", "reference lib", "signature release", …
	Check     string `json:"check"`            // what was compared
	Verdict   string `json:"verdict"`          // one of the constants above
	Detail    string `json:"detail,omitempty"` // the digest that was confirmed, the error, or why there is none of both
	err       error
	order     int // among the steps of a component: checks end in any order
}

// Places of the kinds of objects in the order of a component's steps.
const (
	ofCoverage   = 1_000_000
	ofReferences = 2_000_000
	ofNested     = 3_000_000
	ofResources  = 4_000_000
	ofSources    = 5_000_000
)

// SignatureResult tells what is known of one signature of the root.
type SignatureResult struct {
	Name      string       `json:"name"`
	Digest    SignedDigest `json:"digest"` // of the normalised descriptor, as the signature says
	Algorithm string       `json:"algorithm"`
	Signer    string       `json:"signer,omitempty"`   // key, certificate or identity; empty unless the verdict is ok
	Verifier  string       `json:"verifier,omitempty"` // the plugin whose word the verdict is; empty: it was judged here
	Time      time.Time    `json:"time,omitzero"`      // when it was signed, by the word of somebody who is trusted; zero: nobody says
	Verdict   string       `json:"verdict"`            // ok, failed, or skipped: it was not asked for, or not reached
}

// SignedDigest has the members of an [ocm.Digest] that are known.
type SignedDigest struct {
	HashAlgorithm          string `json:"hashAlgorithm"`
	NormalisationAlgorithm string `json:"normalisationAlgorithm"`
	Value                  string `json:"value"`
}

// Report tells every step of a verification.
type Report struct {
	Component string        `json:"component"` // name:version of the root
	Manifest  digest.Digest `json:"manifest"`  // what was pinned: all that is told below is true of this state only
	// Verified says that Err is nil.
	Verified bool `json:"verified"`
	// Shallow is set if contents and referenced versions were not checked.
	Shallow    bool              `json:"shallow"`
	Signatures []SignatureResult `json:"signatures"` // all that the root has, in its order
	Steps      []Step            `json:"steps"`

	ended bool // the last step was reached
	graph *Graph
}

// Graph is the closure that the report is about: what is used of it is what was verified. nil unless the report's Err is nil, and
// references were followed.
func (r *Report) Graph() *Graph {
	if r.Err() != nil {
		return nil
	}
	return r.graph
}

// Err joins the errors of all failed steps; nil only if nothing failed, a signature was good, and
// everything that was asked for was looked at. Whatever failed, the error is an
// [ocm.ErrSignature]: what cannot be checked is not verified.
func (r *Report) Err() error {
	var errs []error
	signed := false
	for _, s := range r.Steps {
		if s.Verdict == Failed {
			errs = append(errs, fmt.Errorf("%s: %s: %w", s.Component, s.Object, s.err))
		}
		signed = signed || s.Check == stepSignature && s.Verdict == OK
	}
	switch {
	case len(errs) > 0:
		return unverified{errors.Join(errs...)}
	case !signed:
		return fmt.Errorf("no signature was verified: %w", ocm.ErrSignature)
	case !r.ended:
		return fmt.Errorf("the verification did not come to its end: %w", ocm.ErrSignature)
	}
	return nil
}

type unverified struct{ error }

func (u unverified) Unwrap() error        { return u.error }
func (u unverified) Is(target error) bool { return target == ocm.ErrSignature }

// sort puts the root first, then the other versions in the order of nodes turned round, each with its
// steps in the order of the descriptor.
func (r *Report) sort(nodes []*Node) {
	at := map[string]int{}
	for i, n := range nodes {
		at[n.Key()] = i - len(nodes)
	}
	slices.SortStableFunc(r.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(at[b.Component], at[a.Component]), a.order-b.order)
	})
}
