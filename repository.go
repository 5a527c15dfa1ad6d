// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"io"
	"iter"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Fetcher delivers content by OCI descriptor. Every oras-go target is one.
type Fetcher interface {
	// Fetch opens the content of d. The bytes are not verified: whoever reads
	// them checks digest and size (package blob has the readers).
	// [ErrNotFound] if it is not there. The caller closes the reader.
	// A reader that is also an io.Seeker, io.ReaderAt or *os.File may be used as such.
	Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error)
}

// Content is something that can be moved: a blob, or the root of an OCI graph.
type Content struct {
	// Root describes the content. MediaType is always set. Digest and size may be
	// missing (empty, -1) for a plain blob that has not been read yet.
	Root ociv1.Descriptor
	// From delivers Root and, for manifests and indexes, everything below it.
	From Fetcher
	// Origin is registry/repository where the content lives in a registry: blobs can
	// be mounted from there by a repository of the same registry. Empty elsewhere.
	Origin string
	// Name is what the content is called in messages and progress; may be empty.
	Name string
	// Alone says that nothing attached to an image travels with it: no referrers, no signatures
	// that cosign keeps under tags.
	Alone bool
	// Skip names entries of indexes that stay behind, with all that is below them; the index is
	// copied as it is. nil: none, the content is whole.
	Skip func(ociv1.Descriptor) bool
	// Hint is a name for the content in a registry, path[:tag], that is kept with a local blob as its
	// referenceName. Empty: none.
	Hint string
	// Pinned is the access that leads to this very content for good, where the one that was opened
	// may lead to other content tomorrow: a tag, a branch. nil: it cannot be said better.
	Pinned *Spec
}

// Open opens the root's bytes.
func (c Content) Open(ctx context.Context) (io.ReadCloser, error) { return c.From.Fetch(ctx, c.Root) }

// Repository holds component versions.
type Repository interface {
	// Open finds a component version by its version, or by the digest of its manifest
	// ("sha256:…"). The result is pinned: everything read through it belongs to the
	// state that was found. [ErrNotFound] if there is none.
	Open(ctx context.Context, name, ref string) (Version, error)
	// Versions lists the versions of a component, each once, in no order. An unknown
	// component has no versions; that is no error. It stops at the first error.
	Versions(ctx context.Context, name string) iter.Seq2[string, error]
	// Draft begins a new state of a component version. With base nil the version must
	// not exist yet ([ErrExists], at the latest from Commit); else base is the state
	// that is replaced. Nothing is visible before Commit.
	Draft(ctx context.Context, name, version string, base Version) (Draft, error)
	// String says where the repository is, for messages.
	String() string
	io.Closer
}

// Version is one state of one component version, pinned by the digest of its manifest.
type Version interface {
	// Manifest is the OCI descriptor that pins the state.
	Manifest() ociv1.Descriptor
	// Descriptor is the component descriptor. It must not be modified: Clone it.
	Descriptor() *Descriptor
	// Blob returns the content of a repository-relative access (localBlob and its
	// legacy forms). [errors.ErrUnsupported] for any other access type: those are
	// opened by the Kit. [ErrNotFound] if the blob is missing from the repository.
	Blob(ctx context.Context, access Spec) (Content, error)
}

// Draft is a component version that is being written.
type Draft interface {
	// Add stores content under the draft and returns what to write into the
	// descriptor. hint is the referenceName, may be empty. Content that is there
	// already is not read. It may be called concurrently. What was added but not
	// committed is not visible as a component version.
	Add(ctx context.Context, c Content, hint string) (Stored, error)
	// Commit writes the descriptor and makes the version visible, as the last thing.
	// Repository-relative accesses in d must have been added, or be in base.
	// [ErrConflict] if the version changed since base was opened, [ErrExists] if there
	// was no base and somebody was faster.
	Commit(ctx context.Context, d *Descriptor) (Version, error)
	// Close drops the draft unless it was committed.
	io.Closer
}

// Stored is content in its new place.
type Stored struct {
	Root   ociv1.Descriptor // complete, with digest and size
	Access Spec             // what to write into the descriptor
}

// Lister is a [Repository] that can list its components.
type Lister interface {
	// Components lists component names, each once, in no order.
	Components(ctx context.Context) iter.Seq2[string, error]
}

// Finisher is a [Repository] that becomes visible as a whole, such as an archive in one file.
type Finisher interface {
	// Finish makes everything that was committed visible. Whoever writes to a repository calls
	// it once, after the last commit and before Close; without it nothing has happened.
	Finish(ctx context.Context) error
}

// Sequential is a [Repository] that is read once, front to back, such as an archive that comes
// through a pipe. Versions can be opened at any time, large content only when it comes by.
// Not every repository of a type need be one, so it is asked for: a repository that may be
// one, and each of its versions, has a method Sequential() (Sequential, bool).
type Sequential interface {
	// Each calls fn for the content that was not read yet, in its order, until the end or the
	// first error. The bytes are not verified. What fn leaves of a reader is skipped.
	Each(ctx context.Context, fn func(d ociv1.Descriptor, r io.Reader) error) error
}

// Adopter is a [Draft] that can take over a state of a version with its manifest as it is.
type Adopter interface {
	// Adopt commits the very state v, with everything below its manifest, so that the manifest's
	// digest stays the same. What is attached to the manifest comes along, unless alone is set.
	// [errors.ErrUnsupported] if v is kept in another form; otherwise errors as of Commit.
	Adopt(ctx context.Context, v Version, alone bool) (Version, error)
}
