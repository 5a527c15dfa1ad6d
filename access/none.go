// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"

	"ocm"
)

// None is the access of a resource that has no content.
var None = ocm.Method{
	Type: ocm.Type{Names: ocm.Versioned("v1", "none", "None"), About: "No content: the resource is only named."},
	Opener: ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) {
		return ocm.Content{}, fmt.Errorf("access none: there is no content: %w", errors.ErrUnsupported)
	}),
}
