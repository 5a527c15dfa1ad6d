// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/descriptor"
)

var (
	_ ocm.Repository = (*Repository)(nil)
	_ ocm.Lister     = (*Repository)(nil)
)

// Repository is a repository of component versions in a [Store].
type Repository struct {
	store Store
	env   *ocm.Env
	homes homes
	near  *Repository // nil: none; see Beside
}

// Beside lets versions be read from near where that has the very same manifest under the same tag. For
// a registry whose versions are copied into an archive: what the archive has need not come again, only its
// digest is asked for. It is called before anything is opened. near is taken at its word: who has to
// see what the registry delivers does not call this.
func (r *Repository) Beside(near *Repository) { r.near = near }

// NewRepository puts the mapping above a store. Closing the repository closes the store.
func NewRepository(store Store, env *ocm.Env) *Repository {
	return &Repository{store: store, env: env}
}

func (r *Repository) String() string { return r.store.String() }

// Close closes the store.
func (r *Repository) Close() error { return r.store.Close() }

// Open implements [ocm.Repository].
func (r *Repository) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	v, err := r.open(ctx, name, ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", r, name, ref, err)
	}
	return v, nil
}

func (r *Repository) open(ctx context.Context, name, ref string) (*version, error) {
	if err := descriptor.CheckName(name); err != nil {
		return nil, err
	}
	repo := r.store.Repo(RepoName(name))
	byDigest := strings.Contains(ref, ":")
	tag := ref
	if !byDigest {
		tag = Tag(ref)
	}
	if v := r.nearby(ctx, repo, name, ref); v != nil {
		return v, nil
	}
	d, raw, err := readManifest(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	v, err := load(ctx, repo, d, raw)
	if errors.Is(err, ocm.ErrNotFound) { // absent is something else: nobody may look elsewhere, or write here, because of this
		return nil, fmt.Errorf("the version is there, but not complete: %v: %w", err, ocm.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	v.in = r
	c := &v.desc.Component
	if c.Name != name {
		return nil, fmt.Errorf("expected component %s, the descriptor says %s: %w", name, c.Name, ocm.ErrInvalid)
	}
	_, isVersion := versionOf(tag)
	isVersion = isVersion || descriptor.CheckVersion(ref) == nil // "2.0.0+a.build-b": its tag reads back as none
	if !byDigest && isVersion && Tag(c.Version) != tag {
		return nil, fmt.Errorf("expected version %s, the descriptor says %s: %w", ref, c.Version, ocm.ErrInvalid)
	}
	return v, nil
}

// nearby opens a version where it costs nothing, if it is the same there, and whole; else nil, and
// then everything is done as if nobody had asked.
func (r *Repository) nearby(ctx context.Context, repo Repo, name, ref string) *version {
	if r.near == nil || strings.Contains(ref, ":") {
		return nil
	}
	have := r.near.store.Repo(RepoName(name))
	_, costs := repo.(ManifestReader)
	if _, alike := have.(ManifestReader); alike || !costs {
		return nil
	}
	if _, err := have.Resolve(ctx, Tag(ref)); err != nil {
		return nil
	}
	there, err := repo.Resolve(ctx, Tag(ref))
	if err != nil {
		return nil
	}
	v, err := r.near.open(ctx, name, ref)
	if err != nil || v.manifest.Digest != there.Digest || v.lacks(ctx, have) != "" {
		return nil
	}
	v.in, v.far = r, repo
	return v
}

// Versions implements [ocm.Repository]. It reads the tags, page by page; where tags cannot be
// listed, it asks for the referrers of the component index.
func (r *Repository) Versions(ctx context.Context, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := descriptor.CheckName(name); err != nil {
			yield("", err)
			return
		}
		repo := r.store.Repo(RepoName(name))
		seen := map[string]bool{}
		for tag, err := range repo.Tags(ctx) {
			if err != nil {
				r.versionsByIndex(ctx, repo, name, err, yield)
				return
			}
			if v, ok := versionOf(tag); ok && !seen[v] {
				seen[v] = true
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// componentIndex is the well-known manifest that versions may have as subject. Its bytes are
// fixed, so its digest is all that is needed for reading.
var componentIndex = ociv1.Descriptor{
	MediaType: ociv1.MediaTypeImageManifest,
	Digest:    "sha256:9717cda41c478af11cba7ed29f4aa3e4882bab769d006788169cbccafc0fcd05",
	Size:      837,
}

// versionsByIndex is for registries that do not let us list tags; cause is why.
func (r *Repository) versionsByIndex(ctx context.Context, repo Repo, name string, cause error, yield func(string, error) bool) {
	cause = fmt.Errorf("%s: versions of %s: %w", r, name, cause)
	lister, ok := repo.(ReferrerLister)
	if !ok || !errors.Is(cause, ocm.ErrDenied) && !errors.Is(cause, errors.ErrUnsupported) {
		yield("", cause)
		return
	}
	seen := map[string]bool{}
	for d, err := range lister.Referrers(ctx, componentIndex, ArtifactTypeDescriptor) {
		if err != nil {
			yield("", errors.Join(cause, err))
			return
		}
		component, v := splitVersion(d.Annotations[annotationVersion])
		if component == name && !seen[v] {
			seen[v] = true
			if !yield(v, nil) {
				return
			}
		}
	}
	if len(seen) == 0 {
		yield("", cause)
	}
}

// splitVersion reads the annotation "name:version"; both are empty for anything else.
func splitVersion(s string) (name, version string) {
	i := strings.LastIndex(s, ":")
	if i < 0 {
		return "", ""
	}
	return strings.TrimPrefix(s[:i], DescriptorPrefix), s[i+1:]
}

// Components implements [ocm.Lister]; [errors.ErrUnsupported] for a registry that does not list its repositories.
func (r *Repository) Components(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lister, ok := r.store.(RepoLister)
		if !ok {
			yield("", fmt.Errorf("%s: it cannot list its components, name one: %w", r, errors.ErrUnsupported))
			return
		}
		for name, err := range lister.Repos(ctx) {
			component, is := strings.CutPrefix(name, DescriptorPrefix)
			if (err != nil || is && descriptor.CheckName(component) == nil) && !yield(component, err) {
				return
			}
		}
	}
}

// Draft implements [ocm.Repository].
func (r *Repository) Draft(ctx context.Context, name, ver string, base ocm.Version) (ocm.Draft, error) {
	if err := errors.Join(descriptor.CheckName(name), descriptor.CheckVersion(ver)); err != nil {
		return nil, err
	}
	repo := r.store.Repo(RepoName(name))
	d := &draft{r: r, repo: repo, name: name, version: ver, blobs: map[string]ociv1.Descriptor{}}
	if base == nil {
		return d, nil // whether there is none is seen when the tag is set
	}
	b, ok := base.(*version)
	if !ok {
		return nil, fmt.Errorf("%s: the base of a draft must have been opened here: %w", r, ocm.ErrInvalid)
	}
	d.base = b
	return d, nil
}
