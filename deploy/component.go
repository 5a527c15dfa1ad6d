// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// components chooses versions of components, and makes sure that they are what was signed.
type components struct{ *base }

// addComponent registers the controller of Component objects.
func (b *base) addComponent() error {
	deleted := b.parentOf(v1alpha1.KindComponent)
	return b.controller(&v1alpha1.Component{}, 0).
		Watches(&v1alpha1.Repository{}, b.childrenOf(v1alpha1.KindComponent), builder.WithPredicates(told())).
		Watches(&v1alpha1.Resource{}, deleted, builder.WithPredicates(left())).
		Watches(&v1alpha1.Replication{}, deleted, builder.WithPredicates(left())).
		Complete(&components{b})
}

// Reconcile looks at one of them.
func (c *components) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.Component{}
	if found, err := c.fetch(ctx, req, obj); !found {
		return ctrl.Result{}, err
	}
	return c.settle(ctx, obj, func(ctx context.Context) (time.Duration, error) { return c.steps(ctx, obj) })
}

func (c *components) steps(ctx context.Context, obj *v1alpha1.Component) (time.Duration, error) {
	if done, err := c.guard(ctx, obj, v1alpha1.FinalizerComponent, c.children(obj)); done || err != nil {
		return 0, err
	}
	interval, err := between(obj.Spec.Interval.Duration)
	if err != nil {
		return 0, err
	}
	l := &visit{obj: obj, interval: interval}
	if l.place, err = c.place(ctx, obj, &l.repository); err != nil {
		return 0, err
	}
	if l.demands, err = c.demands(ctx, obj.Namespace, obj.Spec.Verify); err != nil {
		return 0, c.doubted(obj, err)
	}
	version, err := c.choose(l)
	if err == nil {
		err = c.take(l, version)
	}
	if err != nil {
		return 0, c.refused(l, version, err)
	}
	obj.Status.RefusedVersion = ""
	return jitter(interval), nil
}

// visit is one look at a component: what its questions have in common.
type visit struct {
	obj        *v1alpha1.Component
	interval   time.Duration
	repository v1alpha1.Repository
	place      resolve.Place
	demands    []resolve.Demand
}

// place finds the repository, and the configuration with which it is seen.
func (c *components) place(ctx context.Context, obj *v1alpha1.Component, repo *v1alpha1.Repository) (resolve.Place, error) {
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Spec.RepositoryRef.Name}
	if err := c.parent(ctx, "spec.repositoryRef.name", key, repo); err != nil {
		return resolve.Place{}, err
	}
	config, err := c.configure(ctx, obj, obj.Namespace, repo)
	if err != nil {
		return resolve.Place{}, err
	}
	place, err := placeOf(repo, config)
	if err != nil {
		return resolve.Place{}, waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.repositorySpec of %s: %w", nameOf(repo), err))
	}
	return place, nil
}

// choice is the version that the spec leads to, and why it must not be taken.
type choice struct {
	version string
	refused error
}

// choose selects the version. With [resolve.ErrDowngrade] comes the version that must not be taken.
func (c *components) choose(l *visit) (string, error) {
	spec := l.obj.Spec
	wish := resolve.Wish{Component: spec.Component, Semver: spec.Semver, Filter: spec.SemverFilter, Current: currentVersion(l.obj),
		Downgrade: spec.DowngradePolicy == v1alpha1.DowngradeAllow}
	chosen, err := work.Ask(c.pool, work.Task[choice]{
		Key: question{what: "select", place: l.place.Key(), wish: wish, again: again64(l.obj)}, Lane: l.place.Lane(), MaxAge: freshFor(l.interval),
		Kind: work.Kind{Component: spec.Component},
		Run: func(ctx context.Context) (choice, int64, error) {
			version, err := c.resolver.Select(ctx, l.place, wish)
			if errors.Is(err, resolve.ErrDowngrade) {
				return choice{version: version, refused: err}, smallAnswer, nil
			}
			return choice{version: version}, smallAnswer, err
		},
	}, askerFor(l.obj))
	if err == nil {
		return chosen.version, chosen.refused
	}
	return "", asked(err, func(err error) error {
		if errors.Is(err, ocm.ErrInvalid) {
			return stalled(v1alpha1.ReasonInvalidSpec, err) // it names the field
		}
		return failed(v1alpha1.ReasonCheckVersionFailed, fmt.Errorf("spec.semver: %w", err))
	})
}

// currentVersion is the one that counts now; empty: none.
func currentVersion(obj *v1alpha1.Component) string {
	if is := obj.Status.Component; is != nil && is.Component == obj.Spec.Component {
		return is.Version
	}
	return ""
}

// version loads a version with all that it references, and verifies it. Errors that are not outcomes refuse it.
func (c *components) version(l *visit, version string) (*resolve.Answer, error) {
	q := resolve.Question{Component: l.obj.Spec.Component, Version: version, Demands: l.demands, Content: l.obj.Spec.VerifyContent}
	kind := work.Kind{Component: q.Component, Version: q.Version, Verification: "unverified"}
	if len(q.Demands) > 0 {
		kind.Verification = "verified"
	}
	answer, err := work.Ask(c.pool, work.Task[*resolve.Answer]{
		Key:  question{what: "version", place: l.place.Key(), component: q.Component, version: q.Version, rest: q.Key(), again: again64(l.obj)},
		Lane: l.place.Lane(), MaxAge: freshFor(l.interval), Kind: kind,
		Run: func(ctx context.Context) (*resolve.Answer, int64, error) {
			answer, err := c.resolver.Version(ctx, l.place, q)
			if err != nil {
				return nil, 0, err
			}
			return answer, answer.Size(), nil
		},
	}, askerFor(l.obj))
	if err == nil && len(q.Demands) > 0 && !answer.Verified {
		err = fmt.Errorf("%s:%s: %w: nobody verified it", q.Component, q.Version, ocm.ErrSignature)
	}
	return answer, asked(err, func(err error) error {
		if refuses(err) {
			return err
		}
		return failed(v1alpha1.ReasonGetComponentVersionFailed, err)
	})
}

// take makes a version the one that counts.
func (c *components) take(l *visit, version string) error {
	answer, err := c.version(l, version)
	if err != nil {
		return err
	}
	is := v1alpha1.ComponentInfo{RepositorySpec: l.repository.Spec.RepositorySpec, Component: answer.Component, Version: answer.Version,
		Digest: &v1alpha1.Digest{HashAlgorithm: answer.Digest.HashAlgorithm, NormalisationAlgorithm: answer.Digest.NormalisationAlgorithm, Value: answer.Digest.Value}}
	status := &l.obj.Status
	before := status.Verification
	if was := status.Component; was == nil || was.Component != is.Component || was.Version != is.Version || was.Digest == nil || *was.Digest != *is.Digest {
		before = nil
	}
	status.Component, status.Verification = &is, vouched(answer, before, l.obj.Spec.Verify)
	return nil
}

// refused says why a version is not taken. What counts now keeps counting, unless it is the one that is refused; if it is another one, it is
// judged, too, or a version that nobody accepts would hide that the one before it is no longer good.
func (c *components) refused(l *visit, version string, err error) error {
	var o *outcome
	if errors.As(err, &o) {
		return err // it says nothing of the version
	}
	reason := v1alpha1.ReasonVerificationFailed
	if errors.Is(err, resolve.ErrDowngrade) {
		reason = v1alpha1.ReasonDowngradeForbidden
		err = fmt.Errorf("spec.semver: %w; spec.downgradePolicy says whether it is", err)
	}
	switch current := currentVersion(l.obj); {
	case current == version:
		distrust(l.obj, err)
	case current != "":
		if again := c.take(l, current); errors.As(again, &o) && o.kind == waits {
			return again
		} else if again != nil && o == nil {
			distrust(l.obj, again)
			err = fmt.Errorf("%w; and %s, which counts now, is no longer good: %w", err, current, again)
		}
	}
	l.obj.Status.RefusedVersion = version
	return stalledFor(reason, jitter(l.interval), err)
}

// doubted says that what spec.verify demands cannot be judged. If that is for good, what counts now is not vouched for either.
func (c *components) doubted(obj *v1alpha1.Component, err error) error {
	if errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) {
		distrust(obj, err)
	}
	return err
}

// distrust makes those who depend on the version that counts stop taking it.
func distrust(obj *v1alpha1.Component, err error) {
	if obj.Status.Component == nil {
		return
	}
	message := clip(err.Error(), MaxNote)
	if v := obj.Status.Verification; v != nil && v.Verdict == v1alpha1.Refused && v.Message == message {
		return
	}
	obj.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: message}
}
