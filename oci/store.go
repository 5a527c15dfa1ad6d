// SPDX-License-Identifier: Apache-2.0

// Package oci maps component versions onto OCI repositories: which manifest, config,
// layers, annotations and tags make a component version, and back. The mapping is written
// once, above [Store]: a registry (package oci/remote), a CTF (package ctf) and memory
// (package oci/memory) are all sets of OCI repositories.
package oci

import (
	"context"
	"io"
	"iter"
	"os"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Store is a set of OCI repositories.
type Store interface {
	// Repo gives access to one repository by its path below the store, such as
	// "component-descriptors/acme.org/app". It costs nothing and need not exist.
	Repo(name string) Repo
	// String says where the store is, for messages.
	String() string
	io.Closer
}

// Repo is one OCI repository. All methods may be used concurrently.
type Repo interface {
	// Fetch opens a blob or manifest by digest, unverified; [ocm.ErrNotFound].
	ocm.Fetcher
	// Resolve finds a manifest by tag or digest and returns media type, digest and size.
	// [ocm.ErrNotFound] also if the repository does not exist.
	Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error)
	// Exists reports whether content with this digest (and size, if d.Size >= 0) is there:
	// a manifest if d.MediaType says so, else a blob. Half-written content is not there.
	Exists(ctx context.Context, d ociv1.Descriptor) (bool, error)
	// Push stores a blob, reading r to its end. With d.Digest set, the bytes must have that
	// digest (and d.Size, if >= 0), else [ocm.ErrDigest] and nothing is stored. With
	// d.Digest empty the sha256 digest is computed on the way. The result is complete.
	Push(ctx context.Context, d ociv1.Descriptor, r io.Reader) (ociv1.Descriptor, error)
	// PutManifest stores a manifest or index, whose children must be there, and points tag
	// at it unless tag is empty. raw must match d. was tells what the tag must be before:
	// see [Any], [Absent] and [At]. [ocm.ErrExists] or [ocm.ErrConflict] if it is not; then
	// the tag is untouched.
	PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was Was) error
	// Tags lists the tags in no order; none if the repository does not exist.
	Tags(ctx context.Context) iter.Seq2[string, error]
	// Origin is registry/repository for mounts between repositories of a registry, empty
	// where there is no registry.
	Origin() string
}

// Was is the condition on a tag's state before it is moved.
type Was struct {
	any    bool
	digest digest.Digest
}

// Any puts no condition on the tag.
func Any() Was { return Was{any: true} }

// Absent demands that the tag does not exist.
func Absent() Was { return Was{} }

// At demands that the tag points at d.
func At(d digest.Digest) Was { return Was{digest: d} }

// Check compares the condition with the tag's state; found is empty if the tag does not exist.
func (w Was) Check(found digest.Digest) error {
	switch {
	case w.any || w.digest == found:
		return nil
	case w.digest == "":
		return ocm.ErrExists
	}
	return ocm.ErrConflict
}

// How a blob came to be in its place.
type How int

// The ways of a blob, see [Placer].
const (
	Found    How = iota // it was there
	Mounted             // the registry took it over from another of its repositories
	Moved               // its bytes were sent
	Deferred            // its bytes will be read when the store is finished
)

// Placer is a [Repo] that knows a shorter way than Exists and Push.
type Placer interface {
	// Place makes sure that a blob of known digest is there. origins are places (see Origin) where a
	// registry may have it. open is called if its bytes are needed, perhaps again after a failure,
	// and perhaps only when the store is finished; what it returns is read like the
	// reader of Push, and closed.
	Place(ctx context.Context, d ociv1.Descriptor, origins []string, open func(context.Context) (io.ReadCloser, error)) (How, error)
}

// Keeper is a [Repo] of a store that somebody else may clean up meanwhile: blobs that no manifest needs are taken out of it.
type Keeper interface {
	// Keep is Exists for who is about to put a manifest that needs the content: what is there stays for that.
	Keep(ctx context.Context, d ociv1.Descriptor) (bool, error)
}

// Holder is a [Keeper] that keeps those who clean up away for a moment.
type Holder interface {
	// Hold waits for who cleans up just now. Nobody begins to before release is called, so that what is there stays.
	Hold(ctx context.Context) (release func(), err error)
}

// Hold asks a [Holder]. Elsewhere nobody cleans up.
func Hold(ctx context.Context, r Repo) (release func(), err error) {
	if h, ok := r.(Holder); ok {
		return h.Hold(ctx)
	}
	return func() {}, nil
}

// Keep asks a [Keeper], or whether the content exists where nobody cleans up.
func Keep(ctx context.Context, r Repo, d ociv1.Descriptor) (bool, error) {
	if k, ok := r.(Keeper); ok {
		return k.Keep(ctx, d)
	}
	return r.Exists(ctx, d)
}

// ManifestReader is a [Repo] that finds a manifest and reads it in one step.
type ManifestReader interface {
	// ReadManifest is Resolve and Fetch in one; the bytes are verified.
	ReadManifest(ctx context.Context, ref string) (ociv1.Descriptor, []byte, error)
}

// Extent is a reader over a part of a local file. Whoever writes to a local file may let the
// kernel copy from one to the other.
type Extent interface {
	// Extent returns the file and where the part that was not read yet lies in it; a nil file if
	// there is none after all.
	Extent() (f *os.File, offset, size int64)
	// Skip says that the next n bytes were taken from the file itself.
	Skip(n int64)
}

// RepoLister is a [Store] that can list its repositories.
type RepoLister interface {
	// Repos lists names, each once. A store of which that is found out only by asking answers [errors.ErrUnsupported].
	Repos(ctx context.Context) iter.Seq2[string, error]
}

// ReferrerLister is a [Repo] that can list the manifests whose subject is d.
type ReferrerLister interface {
	// Referrers lists with artifact type and annotations (see [AsReferrer]), filtered by artifactType
	// unless that is empty. Where a registry has no API for it, its index of referrers is read (see
	// [ReferrersTag]). What is listed was said by the store: whoever relies on it reads the manifest.
	// None if the repository does not exist; [errors.ErrUnsupported] if there is no way to know.
	Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error]
}

// StrayChecker is a [Repo] of a store whose lists may be damaged, as those of a file may that somebody carried.
type StrayChecker interface {
	// CheckStrays fails if something that refers to the manifest is listed where it would never be found.
	CheckStrays(ctx context.Context, subject digest.Digest) error
}

// Deleter is a [Repo] from which things can be taken out. What is not there is [ocm.ErrNotFound]. What something else in the
// store needs stays: [ocm.ErrDenied]. So whatever was whole before is whole after it. A store of which only some forms can do it
// answers [ocm.ErrDenied] and [errors.ErrUnsupported] at once for the others.
type Deleter interface {
	// Untag takes a tag away. The manifest that it pointed at stays, to be had by its digest.
	Untag(ctx context.Context, tag string) error
	// DeleteManifest takes a manifest and all its tags out of the repository. What it refers to stays, and so does what refers
	// to it by its subject. Denied if an index of the repository has it, be that one of an image or of referrers (see
	// [ReferrersTag]).
	DeleteManifest(ctx context.Context, d digest.Digest) error
	// DeleteBlob takes a blob out of the store, which may share it among its repositories. Denied if a manifest that is listed
	// anywhere in the store needs it, or is it; what is nested in an index that is listed counts as listed. Who asks whether a
	// blob is there, and puts a manifest that needs it while it is deleted, may be left without: to delete is for quiet times.
	DeleteBlob(ctx context.Context, d digest.Digest) error
}
