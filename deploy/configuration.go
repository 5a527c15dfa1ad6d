// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"

	"ocm/deploy/resolve"
)

// configure reads the configuration of an object: the sources that its spec names or, if it names none, what its parents pass on. It
// lists them in the status. namespace is that of sources that name none.
func (b *base) configure(ctx context.Context, obj object, namespace string, parents ...object) (*resolve.Config, error) {
	return nil, errors.ErrUnsupported
}
