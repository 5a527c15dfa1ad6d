// SPDX-License-Identifier: Apache-2.0

package ocm

import "errors"

// Sentinel errors. Implementations wrap them with fmt.Errorf("where: %w", …) so
// that the text tells the place and errors.Is tells the kind. What an
// implementation cannot do at all is [errors.ErrUnsupported].
var (
	// ErrNotFound: the thing asked for is not there, and the place was readable.
	ErrNotFound = errors.New("not found")
	// ErrExists: a component version that must be new is there already.
	ErrExists = errors.New("already exists")
	// ErrConflict: somebody else changed the object since it was read.
	ErrConflict = errors.New("changed by somebody else in the meantime")
	// ErrDigest: bytes or a document do not have the digest they should have.
	ErrDigest = errors.New("digest mismatch")
	// ErrSignature: a signature is missing, wrong, or cannot be judged.
	ErrSignature = errors.New("signature verification failed")
	// ErrUnknownType: no implementation is registered for a type name.
	ErrUnknownType = errors.New("unknown type")
	// ErrInvalid: an input is malformed or breaks a rule of the model.
	ErrInvalid = errors.New("invalid")
	// ErrLimit: an input is larger, deeper or longer than is accepted.
	ErrLimit = errors.New("limit exceeded")
	// ErrDenied: the other side knows who we are, or that we did not say so, and refuses.
	ErrDenied = errors.New("access denied")
)
