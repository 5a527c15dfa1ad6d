// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
)

// guard keeps an object while others refer to it: it puts the finalizer on, and takes it off when the object is to be deleted and children
// lists nobody. done says that the object is being deleted: nothing else is to be done with it. While somebody refers to it the outcome
// is a failure with reason DeletionFailed, which names who.
func (b *base) guard(ctx context.Context, obj object, finalizer string, children func(context.Context) ([]string, error)) (done bool, err error) {
	return false, errors.ErrUnsupported
}
