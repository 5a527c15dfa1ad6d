// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync/atomic"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
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
	_ oci.ManifestReader = (*repo)(nil)
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

// Fetch opens a manifest or blob, with one request. A blob of more than 1 MiB is asked for by the
// first Read, which is also what tells that it is missing. A blob's reader is an io.Seeker, so that
// what is there of it already is not sent again; [errors.ErrUnsupported] from Read if
// the registry cannot do that. A download that breaks off goes on where it stopped, see
// [web.MaxResumes]. Manifests end with [ocm.ErrLimit] behind [blob.MaxManifest].
func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := r.check(d); err != nil {
		return nil, err
	}
	if !blob.IsManifest(d.MediaType) {
		return r.open(ctx, d)
	}
	var rc io.ReadCloser
	var err error
	if d.Size >= 0 {
		rc, err = r.oras.Manifests().Fetch(ctx, d)
	} else {
		_, rc, err = r.oras.Manifests().FetchReference(ctx, d.Digest.String())
	}
	if err != nil {
		return nil, r.explain(d.Digest.String(), err, ocm.ErrDigest)
	}
	return &bounded{ReadCloser: rc, left: blob.MaxManifest}, nil
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
