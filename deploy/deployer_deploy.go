// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
)

// deploy begins to deploy what is wanted if it is not what runs.
func (r *deployers) deploy(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, w *wanted, last *done) error {
	if d.Status.Held != "" && d.Status.Held != w.input {
		d.Status.Held = ""
	}
	now := current(d)
	failure := last.failure(d)
	switch {
	case failure != nil && last.input == w.input && now != nil && now.Input == w.input && r.hopeless(d, now, failure):
		return r.giveUp(ctx, d, dep, failure)
	case failure != nil && last.input == w.input:
		return failure
	case d.Status.Held != "" && now.RollbackOf == 0:
		return r.giveUp(ctx, d, dep, stalled(v1alpha1.ReasonApplyFailed, fmt.Errorf("revision %d, %s:%s: %s", now.Revision, now.Component, now.Version, now.Message)))
	case d.Status.Held != "":
		return rolledBack(d)
	case now != nil && now.Input == w.input && now.Revision == d.Status.Revision && !d.Spec.DryRun:
		return nil
	case w.blocked != nil:
		return w.blocked
	}
	c, err := r.download(d, w)
	if err != nil {
		return err
	}
	rev := r.next(d, w)
	meanwhile := waiting(v1alpha1.ReasonProgressing, safety, fmt.Errorf("revision %d, %s:%s, is being deployed", rev.Revision, rev.Component, rev.Version))
	return r.act(ctx, d, meanwhile, func(ctx context.Context, d *v1alpha1.Deployer) *done {
		result := r.deployment(ctx, &job{d: d, dep: dep, rev: rev, hidden: w.hidden}, w, c)
		result.err = w.hidden.of(result.err)
		return result
	})
}

// hopeless reports whether a revision that was not applied as a whole is not tried again: a hook failed, whose effects are not known, or it did
// not work for as long as its health gate waits.
func (r *deployers) hopeless(d *v1alpha1.Deployer, rev *v1alpha1.Revision, err error) bool {
	g := d.Spec.HealthGate
	return rev.Outcome == v1alpha1.OutcomeFailed && rev.Revision != d.Status.Revision &&
		(errors.Is(err, errHook) || g != nil && r.now().After(rev.Time.Add(timeout(g))))
}

// next is the revision that is to be deployed: a new one, or that which was not applied as a whole.
func (r *deployers) next(d *v1alpha1.Deployer, w *wanted) v1alpha1.Revision {
	rev := v1alpha1.Revision{Revision: 1, Component: w.resource.Component, Version: w.resource.Version, Input: w.input,
		ComponentDigest: w.resource.Digest.Value, Verdict: v1alpha1.Unverified, Outcome: v1alpha1.OutcomePending, Time: metav1.Time{Time: r.now()}}
	if sum := w.resource.Resource.Digest; sum != nil {
		rev.ResourceDigest = sum.Value
	}
	if w.vouched() {
		rev.Verdict = v1alpha1.Verified
		for _, s := range w.root.Status.Verification.Signatures {
			rev.Signer = s.Signer
		}
	}
	if now := current(d); now != nil {
		rev.Revision = now.Revision + 1
		if now.Input == w.input && now.Revision != d.Status.Revision {
			rev.Revision, rev.Time = now.Revision, now.Time
		}
	}
	return rev
}

// job is a revision on its way into the cluster.
type job struct {
	d      *v1alpha1.Deployer
	dep    *deputy
	rev    v1alpha1.Revision
	hidden hidden
	kept
}

// deployment renders what is wanted and brings it into the cluster.
func (r *deployers) deployment(ctx context.Context, j *job, w *wanted, c *content) *done {
	result := &done{input: w.input}
	install := j.d.Status.Release == ""
	if result.err = r.compose(ctx, j, w, c, install); result.err != nil {
		return result
	}
	if j.d.Spec.DryRun {
		diff, err := j.dep.cluster.Diff(ctx, r.set(ctx, j), MaxDiff)
		result.err = r.refused(j, err)
		if err == nil {
			result.err = waiting(v1alpha1.ReasonDryRun, idle, errors.New("spec.dryRun: nothing was changed; status.diff tells what would be"))
			result.tell = func(d *v1alpha1.Deployer) { d.Status.Diff = w.hidden.in(diff) }
		}
		return result
	}
	if err := j.dep.cluster.Check(ctx, r.set(ctx, j)); err != nil { // nothing was changed
		result.err = r.refused(j, err)
		return result
	}
	j.rev.Stored, j.rev.StoredDigest, j.rev.Message = r.store(ctx, j)
	before, after := "pre-upgrade", "post-upgrade"
	if install {
		before, after = "pre-install", "post-install"
	}
	applied, err := r.bring(ctx, j, before, after)
	result.err = err
	result.tell = func(d *v1alpha1.Deployer) {
		j.told(d, applied, err == nil)
		if errors.Is(err, errHook) {
			d.Status.Held = w.input
		}
	}
	return result
}

// MaxDiff bounds status.diff, in bytes.
const MaxDiff = 32 << 10

// compose renders a revision.
func (r *deployers) compose(ctx context.Context, j *job, w *wanted, c *content, install bool) error {
	s := j.d.Spec
	namespace, release := s.TargetNamespace, s.ReleaseName
	if namespace == "" {
		namespace = s.ResourceRef.Namespace
	}
	if release == "" {
		release = j.d.Name
	}
	wrong := func(err error) error {
		err = fmt.Errorf("resource %s of %s:%s: %w", w.resource.Name, w.resource.Component, w.resource.Version, err)
		if errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) || errors.Is(err, ocm.ErrNotFound) {
			return stalled(v1alpha1.ReasonRenderFailed, err)
		}
		return failed(v1alpha1.ReasonRenderFailed, err)
	}
	result, err := r.render(ctx, render.Source{Name: w.resource.Name, ResourceType: w.resource.Type, MediaType: c.mediaType, Content: bytes.NewReader(c.data)},
		render.Options{Format: s.Format, Path: s.Path, Namespace: namespace, ReleaseName: release, Values: w.values,
			Revision: int(j.rev.Revision), Install: install, Cluster: j.dep.config})
	if err != nil {
		return wrong(err)
	}
	all := slices.Concat(result.Objects, result.CRDs)
	for _, h := range result.Hooks {
		all = append(all, h.Object)
	}
	if err := render.Localize(all, w.images, s.Localization); err != nil {
		return wrong(err)
	}
	j.kept = kept{Namespace: namespace, Objects: result.Objects, Hooks: result.Hooks, Images: w.pulled, release: result.Release}
	for _, crd := range result.CRDs {
		keepCRD(crd)
		j.Objects = append(j.Objects, crd)
	}
	if result.Release != nil {
		j.Release = result.Release.Namespace + "/" + result.Release.Name
	}
	origin(w, j)
	if n := listed(j.Objects, namespace); n > MaxDeployed {
		return wrong(fmt.Errorf("%d objects, whose names take %d bytes in status.deployed, at most %d; deploy them with several Deployers: %w", len(j.Objects), n, MaxDeployed, ocm.ErrLimit))
	}
	return nil
}

// MaxDeployed bounds status.deployed, in bytes. While one revision follows another both are in it, and the API server stores objects of about
// 1.5 MB: what it does not store would be applied again and again, and nobody would know what is there.
const MaxDeployed = 640 << 10

// listed is about how many bytes objects take in status.deployed.
func listed(all []*unstructured.Unstructured, namespace string) int {
	const around = 128 // names of members, and the UID
	n := 0
	for _, o := range all {
		n += around + len(o.GetAPIVersion()) + len(o.GetKind()) + len(cmp.Or(o.GetNamespace(), namespace)) + len(o.GetName())
	}
	return n
}

// set is what is applied of a job.
func (r *deployers) set(ctx context.Context, j *job) apply.Set {
	s := apply.Set{Parent: r.owner(ctx, j.d), Objects: j.Objects, Namespace: j.Namespace, Prune: prunes(j.d), Unowned: !prunes(j.d)}
	s.GroupKinds, s.Namespaces = apply.Recorded(j.d.Annotations)
	for _, o := range j.d.Status.Deployed {
		s.Known = append(s.Known, refOf(o))
	}
	return s
}

// bring applies a job, with its hooks. The health gate counts from the end of that, or, while it fails, from the first time that it was tried:
// not from when the revision began to wait for its turn.
func (r *deployers) bring(ctx context.Context, j *job, before, after string) (*apply.Applied, error) {
	if now := current(j.d); now == nil || now.Revision != j.rev.Revision {
		j.rev.Time.Time = r.now()
	}
	applied, err := r.applied(ctx, j, before, after)
	if err == nil {
		j.rev.Time.Time = r.now()
	}
	j.rev.Outcome = v1alpha1.OutcomePending
	if err != nil {
		j.rev.Outcome, j.rev.Message = v1alpha1.OutcomeFailed, clipped(j.hidden.in(err.Error()))
		err = r.refused(j, err)
	} else if j.d.Spec.HealthGate == nil {
		j.rev.Outcome = v1alpha1.OutcomeGood
	}
	if recordErr := r.recorded(ctx, j); recordErr != nil && err == nil {
		j.rev.Message = clipped(j.hidden.in(recordErr.Error()))
	}
	return applied, err
}

// told writes a job into the status.
func (j *job) told(d *v1alpha1.Deployer, applied *apply.Applied, whole bool) {
	enter(d, j.rev)
	deployed(d, applied, whole)
	if whole {
		d.Status.Revision, d.Status.Images, d.Status.Diff = j.rev.Revision, j.Images, ""
	}
	if j.Release != "" {
		d.Status.Release = j.Release
	}
}

// applied runs the hooks and applies the objects. What it returns is there even if something failed.
func (r *deployers) applied(ctx context.Context, j *job, before, after string) (*apply.Applied, error) {
	s := r.set(ctx, j)
	kinds, namespaces := s.Contains()
	if err := r.announce(ctx, s.Parent, append(kinds, s.GroupKinds...), append(namespaces, s.Namespaces...)); err != nil {
		return nil, err
	}
	if err := r.hooks(ctx, j, before); err != nil {
		return nil, err
	}
	a, err := j.dep.cluster.Apply(ctx, s)
	if err != nil {
		return a, err
	}
	if !s.Prune {
		if err := j.dep.cluster.Release(ctx, s.Parent, leftOut(s.Known, a.Members)); err != nil {
			return a, err
		}
	}
	if err := r.announce(ctx, s.Parent, a.GroupKinds, a.Namespaces); err != nil {
		return a, err
	}
	return a, r.hooks(ctx, j, after)
}

// leftOut are members of before that are no longer part of the content. Where they are not pruned they are let go: as they are owned by the Deployer,
// the garbage collector would delete them with it.
func leftOut(before, now []apply.Ref) []apply.Ref {
	return slices.DeleteFunc(slices.Clone(before), func(old apply.Ref) bool {
		return slices.ContainsFunc(now, func(ref apply.Ref) bool { return sameObject(ref, old) })
	})
}

// sameObject reports whether two references name the same object, in whatever version of its kind.
func sameObject(a, b apply.Ref) bool {
	group := func(r apply.Ref) string { return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind).Group }
	return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name && group(a) == group(b)
}

// refused says what becomes of an error of the cluster.
func (r *deployers) refused(j *job, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("revision %d, %s:%s, as %s: %w", j.rev.Revision, j.rev.Component, j.rev.Version, j.dep.as, err)
	switch {
	case errors.Is(err, ocm.ErrDenied) && j.d.Spec.ServiceAccountName == "":
		return failed(v1alpha1.ReasonForbidden, fmt.Errorf("spec.serviceAccountName: not set, so that this identity deploys, which has only the rights that somebody binds to it: %w", err))
	case errors.Is(err, ocm.ErrDenied):
		return failed(v1alpha1.ReasonForbidden, err)
	case errors.Is(err, errHook):
		return stalled(v1alpha1.ReasonApplyFailed, err)
	}
	return failed(v1alpha1.ReasonApplyFailed, err)
}

// recorded writes the record that helm has of a release.
func (r *deployers) recorded(ctx context.Context, j *job) error {
	if j.Release == "" {
		return nil
	}
	state, text := render.StateDeployed, "deployed"
	if j.rev.Outcome == v1alpha1.OutcomeFailed {
		state, text = render.StateFailed, j.rev.Message
	}
	var err error
	if j.release != nil {
		err = r.record(ctx, j.dep, j.release, state, text)
	} else {
		err = r.recordAgain(ctx, j, state, text)
	}
	if err != nil {
		return fmt.Errorf("deployed, but %q does not show it: %w", "helm list", err)
	}
	return nil
}

// idle is when a Deployer is looked at again where nothing wakes it.
const idle = 10 * time.Minute
