// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// Rollback asks for a revision of the history of a Deployer to be deployed again. [ocm.ErrNotFound] if there is no such Deployer or revision, or
// its objects are not kept; [ErrForbidden] if a policy forbids it. What becomes of it stands in the conditions.
func Rollback(ctx context.Context, c client.Client, name string, number int64) error {
	d := &v1alpha1.Deployer{}
	if err := c.Get(ctx, types.NamespacedName{Name: name}, d); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return fmt.Errorf("Deployer %s: %w", name, ocm.ErrNotFound)
		}
		return err
	}
	to, err := revisionFor(d, number)
	if err == nil && to.Revision != d.Status.Revision {
		_, err = forbidden(ctx, c, d, to)
	}
	if err != nil {
		return fmt.Errorf("Deployer %s: %w", name, err)
	}
	value := fmt.Sprintf("%d/%s", number, time.Now().UTC().Format(time.RFC3339Nano))
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRollbackTo: value}}})
	if err != nil {
		return err
	}
	return c.Patch(ctx, d, client.RawPatch(types.MergePatchType, patch))
}

// revisionFor finds the revision that is to be deployed again.
func revisionFor(d *v1alpha1.Deployer, number int64) (*v1alpha1.Revision, error) {
	to := revision(d, number)
	if to == nil {
		var all []string
		for _, r := range d.Status.History {
			all = append(all, strconv.FormatInt(r.Revision, 10))
		}
		return nil, fmt.Errorf("revision %d: %w; the history has %s", number, ocm.ErrNotFound, strings.Join(all, ", "))
	}
	if !to.Stored {
		return nil, fmt.Errorf("revision %d: its objects are not kept: %w: %s", number, ocm.ErrNotFound, to.Message)
	}
	return to, nil
}

// rollBack begins the rollback that an annotation asks for, if it was not done yet.
func (r *deployers) rollBack(ctx context.Context, d *v1alpha1.Deployer, dep *deputy) error {
	text := d.Annotations[v1alpha1.AnnotationRollbackTo]
	if text == "" || text == d.Status.HandledRollback {
		return nil
	}
	field := fmt.Sprintf("metadata.annotations[%s]: %q", v1alpha1.AnnotationRollbackTo, text)
	digits, _, _ := strings.Cut(text, "/")
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("%s: %w: <revision> or <revision>/<text> is expected", field, ocm.ErrInvalid))
	}
	to, err := revisionFor(d, number)
	if err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("%s: %w", field, err))
	}
	if to.Revision == d.Status.Revision {
		d.Status.HandledRollback = text
		return nil
	}
	if reason, err := forbidden(ctx, r.GetClient(), d, to); err != nil {
		return stalled(reason, fmt.Errorf("%s: %w; remove the annotation to go on without", field, err))
	}
	return r.revert(ctx, d, dep, to, text)
}

// forbidden says why a revision must not be deployed again by hand: it has an older version than what runs, and the Component does not allow
// downgrades, or that very version is refused by now. What cannot be judged is forbidden.
func forbidden(ctx context.Context, c client.Reader, d *v1alpha1.Deployer, to *v1alpha1.Revision) (string, error) {
	from := running(d)
	if from == nil {
		from = current(d)
	}
	same := from.Component == to.Component && from.Version == to.Version
	res, comp := &v1alpha1.Resource{}, &v1alpha1.Component{}
	ns := d.Spec.ResourceRef.Namespace
	err := c.Get(ctx, types.NamespacedName{Namespace: ns, Name: d.Spec.ResourceRef.Name}, res)
	if err == nil {
		err = c.Get(ctx, types.NamespacedName{Namespace: ns, Name: res.Spec.ComponentRef.Name}, comp)
	}
	if err != nil && same {
		return "", nil
	}
	if err != nil {
		return v1alpha1.ReasonDowngradeForbidden, fmt.Errorf("%w: revision %d has %s:%s; whether that is allowed cannot be judged: %w", ErrForbidden, to.Revision, to.Component, to.Version, err)
	}
	v, info := comp.Status.Verification, comp.Status.Component
	if v != nil && v.Verdict == v1alpha1.Refused && (info == nil || to.Component != info.Component || to.Version == info.Version) {
		return v1alpha1.ReasonVerificationFailed, fmt.Errorf("%w: revision %d: %w: Component %s: %s", ErrForbidden, to.Revision, ocm.ErrSignature, comp.Name, v.Message)
	}
	if same || comp.Spec.DowngradePolicy == v1alpha1.DowngradeAllow || from.Component == to.Component && !older(to.Version, from.Version) {
		return "", nil
	}
	return v1alpha1.ReasonDowngradeForbidden, fmt.Errorf("%w: revision %d has %s:%s, %s:%s is deployed, and the downgradePolicy of Component %s is %s",
		ErrForbidden, to.Revision, to.Component, to.Version, from.Component, from.Version, comp.Name, v1alpha1.DowngradeDeny)
}

// ErrForbidden says that a policy forbids a rollback. It is an [ocm.ErrDenied].
var ErrForbidden = fmt.Errorf("%w: a policy forbids it", ocm.ErrDenied)

// older reports whether a version is older than another; what cannot be compared is.
func older(a, b string) bool {
	x, err := version.ParseGeneric(a)
	y, err2 := version.ParseGeneric(b)
	if err != nil || err2 != nil {
		return true
	}
	if s, err := version.ParseSemantic(a); err == nil {
		x = s
	}
	if s, err := version.ParseSemantic(b); err == nil {
		y = s
	}
	return x.LessThan(y)
}

// revert begins to deploy a revision of the history again. annotation is who asked for it, empty if the health gate did.
func (r *deployers) revert(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, to *v1alpha1.Revision, annotation string) error {
	rev, from := *to, current(d).Revision
	rev.Revision, rev.RollbackOf, rev.Time = from+1, to.Revision, metav1.Time{Time: r.now()}
	rev.Outcome, rev.Message = v1alpha1.OutcomePending, ""
	meanwhile := waiting(v1alpha1.ReasonProgressing, safety, fmt.Errorf("revision %d, %s:%s, is being deployed again", to.Revision, to.Component, to.Version))
	source := *to
	return r.act(ctx, d, meanwhile, func(ctx context.Context, d *v1alpha1.Deployer) *done {
		j := &job{d: d, dep: dep, rev: rev}
		k, err := r.unpack(ctx, d, &source)
		if err != nil {
			return &done{err: lost(fmt.Errorf("rollback to revision %d: %w", source.Revision, err))}
		}
		j.kept = *k
		if err := dep.cluster.Check(ctx, r.set(ctx, j)); err != nil {
			return &done{err: r.refused(j, err)}
		}
		j.rev.Stored, j.rev.StoredDigest, j.rev.Message = r.store(ctx, j)
		applied, err := r.bring(ctx, j, "pre-rollback", "post-rollback")
		if err != nil { // it is tried again: the same is asked for still
			return &done{err: err, tell: func(d *v1alpha1.Deployer) { deployed(d, applied, false) }}
		}
		return &done{tell: func(d *v1alpha1.Deployer) { supersede(d, annotation); j.told(d, applied, true) }}
	})
}

// supersede writes into the status that the revision that runs is taken away, and holds what is wanted.
func supersede(d *v1alpha1.Deployer, annotation string) {
	now := current(d)
	if now.Outcome != v1alpha1.OutcomeGood {
		now.Outcome = v1alpha1.OutcomeRolledBack
	}
	if d.Status.Held == "" {
		d.Status.Held = now.Input
	}
	if annotation != "" {
		d.Status.HandledRollback = annotation
	}
}

// lost says what becomes of a revision that cannot be read.
func lost(err error) error {
	switch {
	case errors.Is(err, ocm.ErrDenied):
		return failed(v1alpha1.ReasonForbidden, err)
	case errors.Is(err, ocm.ErrDigest):
		return stalled(v1alpha1.ReasonVerificationFailed, err)
	case errors.Is(err, ocm.ErrNotFound), errors.Is(err, ocm.ErrInvalid):
		return stalled(v1alpha1.ReasonApplyFailed, err)
	}
	return failed(v1alpha1.ReasonApplyFailed, err)
}

// rolledBack says that an earlier revision is deployed in place of what is wanted.
func rolledBack(d *v1alpha1.Deployer) error {
	now := current(d)
	why := ""
	if i := slices.IndexFunc(d.Status.History, func(r v1alpha1.Revision) bool { return r.Input == d.Status.Held && r.Message != "" }); i >= 0 {
		why = fmt.Sprintf("; revision %d, %s:%s: %s", d.Status.History[i].Revision, d.Status.History[i].Component, d.Status.History[i].Version, d.Status.History[i].Message)
	}
	return stalled(v1alpha1.ReasonRolledBack, fmt.Errorf("revision %d, %s:%s, is deployed in place of what is wanted%s", now.RollbackOf, now.Component, now.Version, why))
}
