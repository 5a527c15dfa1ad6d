// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"ocm/deploy/v1alpha1"
)

// maxNamed bounds how many names a message lists.
const maxNamed = 10

// guard keeps an object while others refer to it: it puts the finalizer on, and takes it off when the object is to be deleted and children
// lists nobody. done says that the object is being deleted: nothing else is to be done with it. While somebody refers to it the outcome
// is a failure with reason DeletionFailed, which names who.
func (b *base) guard(ctx context.Context, obj object, finalizer string, children func(context.Context) ([]string, error)) (done bool, err error) {
	if obj.GetDeletionTimestamp().IsZero() {
		return false, b.finalizer(ctx, obj, finalizer, controllerutil.AddFinalizer)
	}
	if !controllerutil.ContainsFinalizer(obj, finalizer) {
		return true, nil // somebody else has not finished
	}
	users, err := children(ctx)
	if err != nil {
		return true, failed(v1alpha1.ReasonDeletionFailed, fmt.Errorf("look for what refers to it: %w", err))
	}
	if n := len(users); n > 0 {
		slices.Sort(users)
		if n > maxNamed {
			users = append(users[:maxNamed:maxNamed], fmt.Sprintf("and %d more", n-maxNamed))
		}
		return true, waiting(v1alpha1.ReasonDeletionFailed, safety,
			fmt.Errorf("it cannot be deleted while others refer to it: %s; delete them first", strings.Join(users, ", ")))
	}
	return true, b.finalizer(ctx, obj, finalizer, controllerutil.RemoveFinalizer)
}

// finalizer changes the finalizers of an object, if that changes something. The list is written as a whole, so nobody else must have
// written one in the meantime.
func (b *base) finalizer(ctx context.Context, obj object, finalizer string, change func(client.Object, string) bool) error {
	before := obj.DeepCopyObject().(object)
	if !change(obj, finalizer) {
		return nil
	}
	return b.GetClient().Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}
