// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	orasremote "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// Limits of listings.
const (
	TagsPerPage  = 1000    // asked for; registries may send fewer
	MaxPages     = 1000    // pages of tags or referrers
	MaxTags      = 200_000 // tags of one repository
	MaxReferrers = 10_000  // referrers of one manifest
	MaxPageBytes = 4 << 20 // size of one page
)

var manifestTypes = []string{
	ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageIndex,
	blob.MediaTypeDockerManifest, blob.MediaTypeDockerIndex,
}

// repo is one repository of a registry.
type repo struct {
	session *session
	name    string
	invalid error // why name is no repository, nil if it is one
	oras    *orasremote.Repository
	// lister is the same repository with its mind made up that there is a referrers API:
	// oras-go then says so if there is none, instead of reading the fallback tag.
	lister *orasremote.Repository
	noAPI  *atomic.Bool // there is no referrers API, see referrers.go
}

var (
	_ oci.Repo           = (*repo)(nil)
	_ oci.Placer         = (*repo)(nil)
	_ oci.ReferrerLister = (*repo)(nil)
)

func newRepo(s *session, name string) *repo {
	r := &repo{session: s, name: name, oras: orasRepository(s, name), lister: orasRepository(s, name)}
	r.noAPI = s.env.Job.Keep(noReferrersAPI{r.String()}, func() any { return new(atomic.Bool) }).(*atomic.Bool)
	r.lister.SetReferrersCapability(true) //nolint:errcheck // fails only if it was set before
	if err := checkRepository(name); err != nil {
		r.invalid = fmt.Errorf("registry %s: %w", s.name, err)
	}
	return r
}

func orasRepository(s *session, name string) *orasremote.Repository {
	return &orasremote.Repository{
		Client:               s,
		Reference:            registry.Reference{Registry: s.origin.Host, Repository: name},
		PlainHTTP:            s.origin.Scheme == "http",
		ManifestMediaTypes:   manifestTypes,
		TagListPageSize:      TagsPerPage,
		TagListMaxPages:      MaxPages,
		ReferrerListMaxPages: MaxPages,
		MaxMetadataBytes:     MaxPageBytes,
		SkipReferrersGC:      true, // nothing is deleted behind the user's back
	}
}

func (r *repo) String() string { return r.session.name + "/" + r.name }

// Origin is host/repository.
func (r *repo) Origin() string { return r.String() }

// ask prepares a request to the repository, with the scopes that it needs.
func (r *repo) ask(ctx context.Context, method, path string, actions ...string) (*http.Request, error) {
	ctx = auth.AppendRepositoryScope(ctx, r.oras.Reference, actions...)
	return http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/v2/%s/%s", r.session.origin, r.name, path), nil) //nolint:gocritic // with http.NoBody a request could not be repeated
}

// Fetch opens a manifest or blob. A download that breaks off goes on where it stopped if the
// registry can do that, see [MaxResumes]. Manifests end with [ocm.ErrLimit] behind
// [blob.MaxManifest].
func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := r.check(d); err != nil {
		return nil, err
	}
	var rc io.ReadCloser
	var err error
	isManifest := blob.IsManifest(d.MediaType)
	switch {
	case isManifest && d.Size >= 0:
		rc, err = r.oras.Manifests().Fetch(ctx, d)
	case isManifest:
		_, rc, err = r.oras.Manifests().FetchReference(ctx, d.Digest.String())
	case d.Size >= 0:
		rc, err = r.oras.Blobs().Fetch(ctx, d)
	default:
		_, rc, err = r.oras.Blobs().FetchReference(ctx, d.Digest.String())
	}
	if err != nil {
		return nil, r.explain(d.Digest.String(), err, ocm.ErrDigest)
	}
	if isManifest {
		return &bounded{ReadCloser: rc, left: blob.MaxManifest}, nil
	}
	if seeker, ok := rc.(io.ReadSeekCloser); ok {
		return &resuming{ReadSeekCloser: seeker, ctx: ctx}, nil
	}
	return rc, nil
}

// check refuses descriptors before their digest becomes part of an address.
func (r *repo) check(d ociv1.Descriptor) error {
	if r.invalid != nil {
		return r.invalid
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	if blob.IsManifest(d.MediaType) && d.Size > blob.MaxManifest {
		return fmt.Errorf("%s: manifest %s has %d bytes, accepted are %d: %w", r, d.Digest, d.Size, blob.MaxManifest, ocm.ErrLimit)
	}
	return nil
}

// Resolve asks for the manifest with HEAD. If the answer lacks digest or size, which both are
// optional for registries, the manifest is read and they are computed.
func (r *repo) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if r.invalid != nil {
		return ociv1.Descriptor{}, r.invalid
	}
	if !tagForm.MatchString(ref) && blob.CheckDigest(digest.Digest(ref)) != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %.200q is neither a tag nor a sha256 or sha512 digest: %w", r, ref, ocm.ErrInvalid)
	}
	d, err := r.oras.Resolve(ctx, ref)
	var f *failure
	if err != nil && !errors.Is(err, errdef.ErrNotFound) && !errors.As(err, &f) {
		d, err = r.resolveByReading(ctx, ref)
	}
	if err != nil {
		return ociv1.Descriptor{}, r.explain(ref, err, ocm.ErrInvalid)
	}
	if err := r.checkManifest(d); err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %s: %w", r, ref, err)
	}
	return d, nil
}

func (r *repo) resolveByReading(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	req, err := r.ask(ctx, http.MethodGet, "manifests/"+ref, auth.ActionPull)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	req.Header.Set("Accept", strings.Join(manifestTypes, ", "))
	resp, err := r.session.Do(req)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return ociv1.Descriptor{}, errdef.ErrNotFound
	}
	raw, err := io.ReadAll(&bounded{ReadCloser: resp.Body, left: blob.MaxManifest})
	if err != nil {
		return ociv1.Descriptor{}, &failure{text: r.session.place(req), cause: err}
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	d := ociv1.Descriptor{MediaType: strings.TrimSpace(mediaType), Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if want := digest.Digest(ref); blob.CheckDigest(want) == nil {
		d.Digest = want.Algorithm().FromBytes(raw)
		if d.Digest != want {
			return d, &failure{text: fmt.Sprintf("%s: expected %s, found %s", r.session.place(req), want, d.Digest), cause: ocm.ErrDigest}
		}
	}
	if said := digest.Digest(resp.Header.Get("Docker-Content-Digest")); said != "" && said.Algorithm() == d.Digest.Algorithm() && said != d.Digest {
		return d, &failure{text: fmt.Sprintf("%s: the registry says %.100q, found %s", r.session.place(req), string(said), d.Digest), cause: ocm.ErrDigest}
	}
	return d, nil
}

// checkManifest judges what a registry says about a manifest.
func (r *repo) checkManifest(d ociv1.Descriptor) error {
	if err := blob.CheckDigest(d.Digest); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(d.MediaType, "application/vnd.docker.distribution.manifest.v1"):
		return fmt.Errorf("the image is stored in Docker's schema 1, which has no usable digests; push it again with a current tool: %w", errors.ErrUnsupported)
	case !blob.IsManifest(d.MediaType):
		return fmt.Errorf("expected a manifest or index, found media type %.100q: %w", d.MediaType, ocm.ErrInvalid)
	case d.Size > blob.MaxManifest:
		return fmt.Errorf("the manifest has %d bytes, accepted are %d: %w", d.Size, blob.MaxManifest, ocm.ErrLimit)
	}
	return nil
}

// Exists asks with HEAD. Content whose size the registry does not tell counts as there.
func (r *repo) Exists(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	if err := r.check(d); err != nil {
		return false, err
	}
	path := "blobs/"
	if blob.IsManifest(d.MediaType) {
		path = "manifests/"
	}
	req, err := r.ask(ctx, http.MethodHead, path+d.Digest.String(), auth.ActionPull)
	if err != nil {
		return false, err
	}
	if path == "manifests/" {
		req.Header.Set("Accept", d.MediaType)
	}
	resp, err := r.session.Do(req)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return d.Size < 0 || resp.ContentLength < 0 || resp.ContentLength == d.Size, nil
}

// PutManifest stores a manifest. Registries cannot compare and set: the tag is resolved first
// and compared with was, and between this and the PUT somebody else may still move it. If the
// manifest has a subject and the registry has no referrers API, the fallback tag of the
// distribution specification is brought up to date.
func (r *repo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	if err := r.check(d); err != nil {
		return err
	}
	if found := d.Digest.Algorithm().FromBytes(raw); found != d.Digest || d.Size != int64(len(raw)) {
		return fmt.Errorf("%s: manifest: expected %s with %d bytes, found %s with %d: %w", r, d.Digest, d.Size, found, len(raw), ocm.ErrDigest)
	}
	ref := d.Digest.String()
	if tag != "" {
		ref = tag
		if !tagForm.MatchString(tag) {
			return fmt.Errorf("%s: %.200q is no tag: %w", r, tag, ocm.ErrInvalid)
		}
		if err := r.checkTag(ctx, tag, was); err != nil {
			return err
		}
	}
	if err := r.oras.PushReference(ctx, d, bytes.NewReader(raw), ref); err != nil {
		return r.explain("storing manifest "+ref, err, ocm.ErrDigest)
	}
	return nil
}

func (r *repo) checkTag(ctx context.Context, tag string, was oci.Was) error {
	if was == oci.Any() {
		return nil
	}
	found, err := r.Resolve(ctx, tag)
	if err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return err
	}
	if err := was.Check(found.Digest); err != nil {
		return fmt.Errorf("%s: tag %s is at %q: %w", r, tag, found.Digest, err)
	}
	return nil
}

// Tags lists page by page. A page that brings nothing new while another one is announced, and
// listings beyond [MaxPages] or [MaxTags], are errors.
func (r *repo) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if r.invalid != nil {
			yield("", r.invalid)
			return
		}
		seen := newSeen(MaxTags)
		err := r.oras.Tags(ctx, "", func(tags []string) error {
			return seen.page(tags, func(tag string) error {
				if !tagForm.MatchString(tag) {
					return fmt.Errorf("%.200q is no tag: %w", tag, ocm.ErrInvalid)
				}
				if !yield(tag, nil) {
					return errStop
				}
				return nil
			})
		})
		if err = r.listed("tags", err); err != nil && !errors.Is(err, ocm.ErrNotFound) {
			yield("", err)
		}
	}
}

// listed sorts the ways in which a listing ends.
func (r *repo) listed(what string, err error) error {
	var bad *badPage
	switch {
	case err == nil, errors.Is(err, errStop):
		return nil
	case errors.As(err, &bad):
		return fmt.Errorf("%s: %s: %w", r, what, bad.error)
	}
	return r.explain(what, err, ocm.ErrInvalid)
}

// Place implements [oci.Placer].
func (r *repo) Place(ctx context.Context, d ociv1.Descriptor, origins []string, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	if ok, err := r.Exists(ctx, d); ok || err != nil {
		return oci.Found, err
	}
	for _, o := range origins {
		if ok, err := r.mount(ctx, d, o); ok || err != nil {
			return oci.Mounted, err
		}
	}
	rc, err := open(ctx)
	if err != nil {
		return oci.Moved, err
	}
	defer rc.Close()
	_, err = r.Push(ctx, d, rc)
	return oci.Moved, err
}

// mount takes a blob over from another repository of the registry. false without an error if
// origin is somewhere else or the registry does not want to.
func (r *repo) mount(ctx context.Context, d ociv1.Descriptor, origin string) (bool, error) {
	if err := r.check(d); err != nil {
		return false, err
	}
	from, ok := strings.CutPrefix(origin, r.session.name+"/")
	if !ok || from == r.name || checkRepository(from) != nil {
		return false, nil //nolint:nilerr // a strange origin is no fault, there is just nothing to mount
	}
	source := r.oras.Reference
	source.Repository = from
	ctx = auth.AppendRepositoryScope(ctx, source, auth.ActionPull)
	path := fmt.Sprintf("blobs/uploads/?mount=%s&from=%s", d.Digest, from)
	req, err := r.ask(ctx, http.MethodPost, path, auth.ActionPull, auth.ActionPush)
	if err != nil {
		return false, err
	}
	resp, err := r.session.Do(req)
	var f *failure
	if errors.As(err, &f) && f.code >= 400 && f.code < 500 {
		return false, nil // if it is about rights, the push will tell
	}
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	if found := resp.Header.Get("Docker-Content-Digest"); resp.StatusCode == http.StatusCreated && found != "" && found != d.Digest.String() {
		return false, fmt.Errorf("%s: mount: expected %s, the registry says %.100q: %w", r, d.Digest, found, ocm.ErrDigest)
	}
	return resp.StatusCode == http.StatusCreated, nil
}
