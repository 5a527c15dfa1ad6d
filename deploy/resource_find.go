// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ocm"
	"ocm/deploy/expression"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// Bounds of what is kept, and of how long is compared.
const (
	foundBytes   = 4 << 10 // about what a resource takes that was found
	checkedBytes = 512     // and the knowledge that one was compared
	checkTimeout = time.Hour
)

// Keys of tasks. In each is the place, with the digest of the configuration: nobody learns what only the credentials of somebody else open.
type (
	locationKey struct{ place, question, reference string }
	checkedKey  struct{ place, content string }
)

// find finds the resource below the component version: the graph is loaded once for all that ask for this version with this configuration.
func (r *resources) find(_ context.Context, obj *v1alpha1.Resource, s *resourceSearch) error {
	place, question := s.at, s.question
	answer, err := work.Ask(r.pool, work.Task[*resolve.Answer]{
		Key: versionKey{place.Key(), question.Key()}, Lane: place.Lane(), Kind: work.Kind{Component: question.Component, Version: question.Version},
		Run: func(ctx context.Context) (*resolve.Answer, int64, error) {
			a, err := r.resolver.Version(ctx, place, question)
			if err != nil {
				return nil, 0, err
			}
			return a, a.Size(), nil
		},
	}, askerFor(obj))
	if err != nil {
		return asked(err, func(err error) error { return versionFailed(s, err) })
	}
	ref := obj.Spec.Resource.ByReference
	s.found, err = work.Ask(r.pool, work.Task[*resolve.Resource]{
		Key: locationKey{place.Key(), question.Key(), keyOf(ref)}, Lane: place.Lane(),
		Run: func(ctx context.Context) (*resolve.Resource, int64, error) {
			found, err := r.locate(ctx, answer, ref)
			if err != nil {
				return nil, 0, err
			}
			return found, foundBytes + int64(len(found.Access.Raw)), nil
		},
	}, askerFor(obj))
	return asked(err, notFound)
}

// versionFailed says what becomes of a version that was not loaded. One that is not what the Component found was changed in its
// repository since; the Component will find that out, and say what it thinks of it.
func versionFailed(s *resourceSearch, err error) error {
	if errors.Is(err, ocm.ErrDigest) {
		return failed(v1alpha1.ReasonComponentDriftResolutionInProgress, fmt.Errorf("%s:%s is not what %s found: %w", s.question.Component, s.question.Version, nameOf(s.component), err))
	}
	return failed(v1alpha1.ReasonGetComponentVersionFailed, err)
}

// locateResource looks for a resource by the reference of a spec.
func locateResource(ctx context.Context, a *resolve.Answer, ref v1alpha1.ResourceReference) (*resolve.Resource, error) {
	path := make([]ocm.Identity, len(ref.ReferencePath))
	for i, id := range ref.ReferencePath {
		path[i] = ocm.Identity(id)
	}
	return a.Resource(ctx, path, ocm.Identity(ref.Resource))
}

// compare compares the content with its digest, once for each content in each place.
func (r *resources) compare(_ context.Context, obj *v1alpha1.Resource, s *resourceSearch) error {
	if obj.Spec.VerificationPolicy == v1alpha1.VerifyNever {
		return nil
	}
	found := s.found
	_, err := work.Ask(r.pool, work.Task[bool]{
		Key:  checkedKey{s.at.Key(), keyOf(found.Repository, found.Component, found.Access, found.Resource.Digest)},
		Lane: laneOf(s.at, found), Kind: work.Kind{Component: found.Component, Version: found.Version, Verification: "content"}, Timeout: checkTimeout,
		Run: func(ctx context.Context) (bool, int64, error) { return true, checkedBytes, r.check(ctx, found) },
	}, askerFor(obj))
	return asked(err, func(err error) error {
		what := fmt.Errorf("resource %s of %s:%s: %w", found.Element.String(), found.Component, found.Version, err)
		if !errors.Is(err, ocm.ErrDigest) {
			return failed(v1alpha1.ReasonGetResourceFailed, what)
		}
		r.refuse(obj, found, what)
		if found.Resource.Digest.Empty() || found.Resource.Digest.Excluded() {
			return stalled(v1alpha1.ReasonVerificationFailed, fmt.Errorf("%w; spec.verificationPolicy: Never takes it without", what))
		}
		return failed(v1alpha1.ReasonVerificationFailed, what)
	})
}

// refuse takes back the verdict about content that was published and is no longer what it was.
func (r *resources) refuse(obj *v1alpha1.Resource, found *resolve.Resource, why error) {
	is := obj.Status.Resource
	if is == nil || is.Digest == nil || found.Resource.Digest == nil || is.Name != found.Name || is.Digest.Value != found.Resource.Digest.Value {
		return
	}
	obj.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: clip(why.Error(), MaxNote)}
}

// laneOf is the host that content comes from.
func laneOf(at resolve.Place, found *resolve.Resource) string {
	c, _ := expression.Coordinates(found)
	return cmp.Or(c["host"], at.Lane())
}

// keyOf is a digest over values that have a JSON form.
func keyOf(values ...any) string {
	raw, err := json.Marshal(values)
	if err != nil { // specifications come from JSON
		raw = fmt.Appendf(nil, "%#v", values)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
