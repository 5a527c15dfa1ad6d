// SPDX-License-Identifier: Apache-2.0

package ocm

import "context"

// Publisher is a [Repository] in a registry, where an artifact can also stand in an OCI repository
// of its own, outside of component versions.
type Publisher interface {
	// Reference is the address that an artifact of this name gets: [scheme://]host/path[:tag]. name is
	// a path below the repository's own, with or without tag; nothing is sent.
	// [errors.ErrUnsupported] if the repository is not in a registry, [ErrInvalid] if
	// component versions live at that path.
	Reference(name string) (string, error)
	// Publish stores an artifact under a name and returns the access that leads to it, pinned by digest.
	// A tag that leads to other content is [ErrExists], or is moved with overwrite set. What is there
	// already is not sent.
	Publish(ctx context.Context, c Content, name string, overwrite bool) (Stored, error)
}
