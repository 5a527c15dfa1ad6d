// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// wanted is what a Deployer shall deploy.
type wanted struct {
	deployed *v1alpha1.Resource  // the object that the Deployer names
	root     *v1alpha1.Component // of that Resource
	place    resolve.Place
	resource *resolve.Resource
	images   map[string]render.Image // by the name of the entry of localization
	pulled   []v1alpha1.DeployedImage
	values   map[string]any
	hidden   hidden // of the values
	input    string // a digest over all that decides what is deployed
	blocked  error  // why nothing new is deployed yet; what is deployed already is none the worse for it
}

// vouched reports whether the version is verified, and the content of the resource covered by that. The verdict of a Resource is about what it
// saw last: its Component may have taken another version since, under other demands.
func (w *wanted) vouched() bool {
	own, root := w.deployed.Status.Verification, w.root.Status.Verification
	return own != nil && own.Verdict == v1alpha1.Verified && root != nil && root.Verdict == v1alpha1.Verified
}

// want finds out what is to be deployed, without reading contents.
func (r *deployers) want(ctx context.Context, d *v1alpha1.Deployer, dep *deputy) (*wanted, error) {
	w := &wanted{}
	for _, step := range []func() error{
		func() error { return r.source(ctx, d, w) },
		func() error { return r.dependencies(ctx, d, w) },
		func() error { return r.configured(ctx, d, w) },
		func() error { return r.located(d, w) },
		func() error { return r.valued(ctx, d, dep, w) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// source reads the Resource and its Component. Only what is ready, as it is specified now, and not refused is deployed.
func (r *deployers) source(ctx context.Context, d *v1alpha1.Deployer, w *wanted) error {
	key := types.NamespacedName{Namespace: d.Spec.ResourceRef.Namespace, Name: d.Spec.ResourceRef.Name}
	unavailable := func(format string, args ...any) error {
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety,
			fmt.Errorf("spec.resourceRef: Resource %s: %w", key, fmt.Errorf(format, args...)))
	}
	res, comp := &v1alpha1.Resource{}, &v1alpha1.Component{}
	if err := r.GetClient().Get(ctx, key, res); apierrors.IsNotFound(err) {
		return unavailable("%w", ocm.ErrNotFound)
	} else if err != nil {
		return failed(v1alpha1.ReasonResourceIsNotAvailable, err)
	}
	if v := res.Status.Verification; v != nil && v.Verdict == v1alpha1.Refused {
		return unavailable("%w: %s", ocm.ErrSignature, v.Message)
	}
	if !r.isReady(res) || !res.DeletionTimestamp.IsZero() || res.Status.Resource == nil || res.Status.Component == nil {
		return unavailable("is not ready")
	}
	if err := r.GetClient().Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: res.Spec.ComponentRef.Name}, comp); err != nil {
		return unavailable("Component %s: %v", res.Spec.ComponentRef.Name, err)
	}
	if v := comp.Status.Verification; v != nil && v.Verdict == v1alpha1.Refused {
		return unavailable("Component %s: %w: %s", comp.Name, ocm.ErrSignature, v.Message)
	}
	if comp.Status.Component == nil || comp.Status.Component.RepositorySpec == nil {
		return unavailable("Component %s has no version yet", comp.Name)
	}
	w.deployed, w.root = res, comp
	return nil
}

// dependencies holds what is new back until the Deployers that it depends on are ready.
func (r *deployers) dependencies(ctx context.Context, d *v1alpha1.Deployer, w *wanted) error {
	if len(d.Spec.DependsOn) == 0 {
		return nil
	}
	all := &v1alpha1.DeployerList{}
	if err := r.GetClient().List(ctx, all); err != nil {
		return failed(v1alpha1.ReasonDependencyNotReady, err)
	}
	byName := map[string]*v1alpha1.Deployer{d.Name: d}
	for i := range all.Items {
		if all.Items[i].Name != d.Name {
			byName[all.Items[i].Name] = &all.Items[i]
		}
	}
	if ring := cycle(byName, d.Name); ring != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.dependsOn: %w: a cycle: %s", ocm.ErrInvalid, strings.Join(ring, " -> ")))
	}
	for i, dep := range d.Spec.DependsOn {
		other := byName[dep.Name]
		problem := "is not ready"
		if other == nil {
			problem = "is not there"
		} else if r.isReady(other) {
			continue
		}
		w.blocked = waiting(v1alpha1.ReasonDependencyNotReady, safety, fmt.Errorf("spec.dependsOn[%d]: Deployer %s %s", i, dep.Name, problem))
		return nil
	}
	return nil
}

// cycle returns a path that leads from a Deployer to itself, nil if there is none.
func cycle(all map[string]*v1alpha1.Deployer, start string) []string {
	from := map[string]string{} // who led here
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		d := all[queue[0]]
		if d == nil {
			continue
		}
		for _, next := range d.Spec.DependsOn {
			if next.Name == start {
				ring := []string{start}
				for at := d.Name; at != start; at = from[at] {
					ring = append(ring, at)
				}
				slices.Reverse(ring)
				return append([]string{start}, ring...)
			}
			if _, seen := from[next.Name]; !seen {
				from[next.Name] = d.Name
				queue = append(queue, next.Name)
			}
		}
	}
	return nil
}

// configured says where the component version is looked for.
func (r *deployers) configured(ctx context.Context, d *v1alpha1.Deployer, w *wanted) error {
	config, err := r.configure(ctx, d, d.Spec.ResourceRef.Namespace, w.deployed)
	if err != nil {
		return err
	}
	w.place.Config = config
	if err := w.place.Repository.UnmarshalJSON(w.root.Status.Component.RepositorySpec.Raw); err != nil {
		return stalled(v1alpha1.ReasonGetRepositoryFailed, fmt.Errorf("Component %s: status.component.repositorySpec: %w", w.root.Name, err))
	}
	return nil
}

// contentFailed says what becomes of a failure to read something of a component version.
func contentFailed(reason string) func(error) error {
	return func(err error) error {
		switch {
		case errors.Is(err, ocm.ErrSignature), errors.Is(err, ocm.ErrDigest):
			return failed(v1alpha1.ReasonVerificationFailed, err)
		case errors.Is(err, ocm.ErrInvalid), errors.Is(err, errTooLarge), errors.Is(err, ocm.ErrUnknownType):
			return stalled(reason, err)
		}
		return failed(reason, err)
	}
}
