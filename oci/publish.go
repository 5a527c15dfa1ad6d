// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
)

// ArtifactType is the access type written for artifacts in repositories of their own. Every
// existing implementation reads it.
const ArtifactType = "ociArtifact/v1"

// Artifact is the access of an artifact in a repository of its own.
type Artifact struct {
	Type           string `json:"type"`
	ImageReference string `json:"imageReference"`
}

var _ ocm.Publisher = (*Repository)(nil)

// Reference implements [ocm.Publisher].
func (r *Repository) Reference(name string) (string, error) {
	path, _ := splitTag(name)
	if r.store.Repo(path).Origin() == "" {
		return "", fmt.Errorf("%s: only a registry has repositories for artifacts: %w", r, errors.ErrUnsupported)
	}
	if slices.Contains(strings.Split(path, "/"), strings.TrimSuffix(DescriptorPrefix, "/")) {
		return "", fmt.Errorf("%q: component versions live below %s, nothing else is published there: %w", name, DescriptorPrefix, ocm.ErrInvalid)
	}
	return r.String() + "/" + name, nil
}

// splitTag takes a name apart into repository path and tag.
func splitTag(name string) (path, tag string) {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// Publish implements [ocm.Publisher].
func (r *Repository) Publish(ctx context.Context, c ocm.Content, name string, overwrite bool) (ocm.Stored, error) {
	ref, err := r.Reference(name)
	if err != nil {
		return ocm.Stored{}, err
	}
	if !blob.IsManifest(c.Root.MediaType) || c.Root.Digest == "" {
		return ocm.Stored{}, fmt.Errorf("%s: content of media type %q is no artifact: %w", ref, c.Root.MediaType, ocm.ErrInvalid)
	}
	path, tag := splitTag(name)
	p := publication{r: r, repo: r.store.Repo(path), ref: ref, path: path, tag: tag, overwrite: overwrite}
	root := plain(c.Root)
	err = r.job().Once(ctx, published{p.place(), tag, root.Digest, c.Skip == nil}, func() error { return p.publish(ctx, c) })
	if err == nil && c.Skip != nil { // what another one of this digest leaves behind is its own business
		_, err = p.copier().copy(ctx, c)
	}
	if err != nil {
		return ocm.Stored{}, fmt.Errorf("%s: %w", ref, err)
	}
	access, err := ocm.NewSpec(Artifact{Type: ArtifactType, ImageReference: ref + "@" + root.Digest.String()})
	return ocm.Stored{Root: root, Access: access}, err
}

func (r *Repository) job() *ocm.Job {
	if r.env == nil {
		return nil
	}
	return r.env.Job
}

// published is the key under which a job remembers an artifact that has its name.
type published struct {
	place  place
	tag    string
	digest digest.Digest
	whole  bool
}

type publication struct {
	r         *Repository
	repo      Repo
	ref       string
	path, tag string
	overwrite bool
}

// place cannot be that of a component: no component's name begins with a slash.
func (p publication) place() place { return place{p.r, "/" + p.path} }

func (p publication) copier() copier { return copier{env: p.r.env, to: p.repo, place: p.place()} }

func (p publication) publish(ctx context.Context, c ocm.Content) error {
	was, there, err := p.state(ctx, c.Root)
	if err != nil || there && !blob.IsIndex(c.Root.MediaType) { // an index may be there without all of its entries
		return err
	}
	root, err := p.copier().copy(ctx, c)
	if err != nil || there || p.tag == "" {
		return err
	}
	err = p.r.job().Do(ctx, func() error {
		raw, err := blob.ReadAll(ctx, c.From, root, blob.MaxManifest)
		if err != nil {
			return err
		}
		return p.repo.PutManifest(ctx, root, raw, p.tag, was)
	})
	if errors.Is(err, ocm.ErrExists) || errors.Is(err, ocm.ErrConflict) { // perhaps by somebody who wants the same
		if _, there, again := p.state(ctx, c.Root); again == nil && there {
			return nil
		}
	}
	return err
}

// state looks where the tag leads: to this very artifact, nowhere, or to something else, which stays
// there unless it is to be replaced.
func (p publication) state(ctx context.Context, root ociv1.Descriptor) (was Was, there bool, err error) {
	if p.tag == "" {
		return Any(), false, nil
	}
	var found ociv1.Descriptor
	err = p.r.job().Do(ctx, func() (err error) { found, err = p.repo.Resolve(ctx, p.tag); return err })
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		return Absent(), false, nil
	case err != nil:
		return was, false, err
	case found.Digest == root.Digest:
		p.r.job().Counters().Found.Add(1)
		return was, true, nil
	case !p.overwrite:
		return was, false, fmt.Errorf("the tag leads to %s, expected %s: %w", found.Digest, root.Digest, ocm.ErrExists)
	}
	p.r.env.Logger().Warn("the tag is moved", "reference", p.ref, "from", found.Digest, "to", root.Digest)
	return At(found.Digest), false, nil
}

// Head is the digest of the manifest that a version has here, by one request; [ocm.ErrNotFound] if there
// is none. Nothing is read: what is known by that digest need not be opened again.
func (r *Repository) Head(ctx context.Context, name, version string) (digest.Digest, error) {
	if err := errors.Join(descriptor.CheckName(name), descriptor.CheckVersion(version)); err != nil {
		return "", err
	}
	d, err := r.store.Repo(RepoName(name)).Resolve(ctx, Tag(version))
	if err != nil {
		return "", fmt.Errorf("%s: %s:%s: %w", r, name, version, err)
	}
	return d.Digest, nil
}

// Has reports whether an OCI repository below this one has a blob or manifest already. It is for
// showing what a transfer would do.
func (r *Repository) Has(ctx context.Context, repository string, d ociv1.Descriptor) (bool, error) {
	return r.store.Repo(repository).Exists(ctx, d)
}

// Tagged is the digest that a tag leads to; [ocm.ErrNotFound] if there is none.
func (r *Repository) Tagged(ctx context.Context, name string) (digest.Digest, error) {
	path, tag := splitTag(name)
	d, err := r.store.Repo(path).Resolve(ctx, tag)
	return d.Digest, err
}

// Repository is where the version was opened, for messages.
func (v *version) Repository() string {
	if v.in == nil {
		return ""
	}
	return v.in.String()
}
