// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
)

const (
	// hookTimeout is how long a hook of a chart may run, and how long it may take to delete one.
	hookTimeout = 5 * time.Minute
	hookPoll    = time.Second
)

// errHook says that a hook failed: a revision with such a hook is not tried again, as its effects are not known.
var errHook = errors.New("hook failed")

// hooks runs the hooks of an event one after the other. They are no members: nothing watches, repairs or prunes them.
func (r *deployers) hooks(ctx context.Context, j *job, event string) error {
	var ran []render.Hook
	p := apply.Parent{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindDeployer, Name: j.d.Name, UID: j.d.UID}
	for _, h := range j.Hooks {
		if !slices.Contains(h.Events, event) {
			continue
		}
		h.Object = h.Object.DeepCopy()
		if err := r.hookNamespace(j, h.Object); err != nil {
			return err
		}
		err := runHook(ctx, j.dep, p, h)
		if err != nil {
			err = fmt.Errorf("%w: %s: %s %s: %w", errHook, event, h.Object.GetKind(), h.Object.GetName(), err)
			return errors.Join(err, dropHooks(ctx, j.dep, "hook-failed", h), dropHooks(ctx, j.dep, "hook-succeeded", ran...))
		}
		ran = append(ran, h)
	}
	return dropHooks(ctx, j.dep, "hook-succeeded", ran...)
}

// hookNamespace puts a hook into the namespace of the release if it names none.
func (r *deployers) hookNamespace(j *job, o *unstructured.Unstructured) error {
	namespaced, err := j.dep.IsObjectNamespaced(o)
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", errHook, o.GetKind(), o.GetName(), err)
	}
	switch {
	case !namespaced:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(j.Namespace)
	}
	return nil
}

// runHook brings a hook into the cluster and waits until it has done what it does: Jobs and Pods have to end.
func runHook(ctx context.Context, c client.Client, p apply.Parent, h render.Hook) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	if err := takeHook(ctx, c, p, h.Object); err != nil {
		return err
	}
	if len(h.Delete) == 0 || slices.Contains(h.Delete, "before-hook-creation") {
		if err := dropHook(ctx, c, h.Object); err != nil {
			return err
		}
	}
	if err := serverSideApply(ctx, c, h.Object); err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(h.Object.GroupVersionKind())
		if err := c.Get(ctx, client.ObjectKeyFromObject(h.Object), now); err != nil {
			return false, err
		}
		return ended(now)
	})
}

// takeHook makes sure that an object is not somebody else's: a hook is deleted, and written with force, and several Deployers may act as the same
// identity. A hook is a member of no set, whatever the chart says.
func takeHook(ctx context.Context, c client.Client, p apply.Parent, o *unstructured.Unstructured) error {
	labels := o.GetLabels()
	delete(labels, apply.LabelPartOf)
	o.SetLabels(labels)
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(o), live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = p.Claimed(live, "")
	}
	if err != nil {
		return refusedHook(o, "apply", err)
	}
	return nil
}

// refusedHook is an error of the cluster about a hook.
func refusedHook(o *unstructured.Unstructured, doing string, err error) error {
	return apply.Refusal(apply.Ref{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}, doing, err)
}

// serverSideApply applies one object.
func serverSideApply(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	err = c.Patch(ctx, o.DeepCopy(), client.RawPatch(types.ApplyPatchType, data), client.ForceOwnership, client.FieldOwner(apply.FieldManager))
	if err != nil {
		return refusedHook(o, "apply", err)
	}
	return nil
}

// ended reports whether a Job or a Pod has ended; its failure is an error. Other objects have nothing to do.
func ended(o *unstructured.Unstructured) (bool, error) {
	switch o.GroupVersionKind().GroupKind().String() {
	case "Job.batch":
		all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, c := range all {
			c, _ := c.(map[string]any)
			if c["status"] != "True" {
				continue
			}
			switch c["type"] {
			case "Complete":
				return true, nil
			case "Failed":
				return false, fmt.Errorf("%v: %v", c["reason"], c["message"])
			}
		}
		return false, nil
	case "Pod":
		phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		if phase == "Failed" {
			return false, errors.New("the Pod failed")
		}
		return phase == "Succeeded", nil
	}
	return true, nil
}

// dropHooks deletes hooks whose policy says so.
func dropHooks(ctx context.Context, c client.Client, policy string, all ...render.Hook) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	var problems []error
	for _, h := range all {
		if slices.Contains(h.Delete, policy) {
			problems = append(problems, dropHook(ctx, c, h.Object))
		}
	}
	return errors.Join(problems...)
}

// dropHook deletes a hook and waits until it is gone.
func dropHook(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		err := c.Delete(ctx, o.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationBackground))
		if apierrors.IsForbidden(err) {
			return false, fmt.Errorf("%w: %w", ocm.ErrDenied, err)
		}
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func poll(ctx context.Context, done wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextCancel(ctx, hookPoll, true, done)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not done after %v: %w", hookTimeout, err)
	}
	return err
}
