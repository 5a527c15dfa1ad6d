// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// noReferrersAPI is the key under which a job remembers that a repository has no referrers API: one
// request finds out, however many images are read and however often the repository is opened.
type noReferrersAPI struct{ repository string }

// Referrers asks the referrers API and, where there is none, reads the index under the fallback tag
// of the distribution specification 1.1, see [oci.ReferrersTag]. At most [MaxReferrers] are listed;
// more are [ocm.ErrLimit]. Their digests and sizes were checked, not that they exist, that they
// are manifests that can be read here, or that they have this subject.
//
// Storing a manifest with a subject keeps that index up to date. This is a read and a write, and
// registries have no lock: of two writers at the same moment, or one that dies in between, one may leave
// a referrer out of it. It is stored all the same, and storing it again lists it again.
//
// The type is compared here too, whatever the registry claims to have filtered: some take the
// config's media type for it.
func (r *repo) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return r.listReferrers(ctx, d, artifactType, true)
}

// ReferrersByAPI is Referrers without the fallback tag: [errors.ErrUnsupported] where there is no API.
func (r *repo) ReferrersByAPI(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return r.listReferrers(ctx, d, artifactType, false)
}

func (r *repo) listReferrers(ctx context.Context, d ociv1.Descriptor, artifactType string, byTag bool) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		if err := r.check(d); err != nil {
			yield(ociv1.Descriptor{}, err)
			return
		}
		l := &listing{seen: newSeen(MaxReferrers), artifactType: artifactType, yield: yield}
		err := r.referrers(ctx, d, l, byTag)
		if errors.Is(err, errors.ErrUnsupported) {
			yield(ociv1.Descriptor{}, err)
			return
		}
		if err = r.listed("referrers of "+d.Digest.String(), err); err != nil && !errors.Is(err, ocm.ErrNotFound) {
			yield(ociv1.Descriptor{}, err)
		}
	}
}

// listing is one that is under way.
type listing struct {
	seen         *seen
	artifactType string
	yield        func(ociv1.Descriptor, error) bool
	begun        bool // a page came
}

func (r *repo) referrers(ctx context.Context, d ociv1.Descriptor, l *listing, byTag bool) error {
	if !r.noAPI.Load() {
		err := r.lister.Referrers(context.WithValue(ctx, stayHere{}, true), d, l.artifactType, l.page)
		switch {
		case !withoutAPI(err):
			return err
		case l.begun: // a list that breaks off is not a short list
			return &badPage{fmt.Errorf("the registry's list of referrers breaks off: %w", ocm.ErrInvalid)}
		}
		r.noAPI.Store(true)
	}
	if !byTag {
		return fmt.Errorf("%s: there is no referrers API: %w", r, errors.ErrUnsupported)
	}
	return r.referrersByTag(ctx, d, l)
}

// stayHere is the key under which a request's context says that the answer is in the registry or
// nowhere: ghcr.io, which has no referrers API, sends those who ask for it to a web site.
type stayHere struct{}

// withoutAPI reports whether an answer means that there is no referrers API: oras-go finds that out
// of a 404 and of a document that is something else, and there are registries that say it in other words.
func withoutAPI(err error) bool {
	var f *failure
	if !errors.As(err, &f) {
		return errors.Is(err, errdef.ErrUnsupported)
	}
	switch f.code {
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusGone, http.StatusNotImplemented:
		return true
	}
	return f.code >= 200 && f.code <= 399 // a web page, or sent elsewhere
}

// page checks and passes on one page.
func (l *listing) page(found []ociv1.Descriptor) error {
	l.begun = true
	byDigest := map[string]ociv1.Descriptor{}
	var digests []string
	for _, one := range found {
		byDigest[one.Digest.String()] = one
		digests = append(digests, one.Digest.String())
	}
	return l.seen.page(digests, func(key string) error {
		one := byDigest[key]
		if err := blob.CheckDigest(one.Digest); err != nil {
			return fmt.Errorf("referrer: %w", err)
		}
		if one.Size < 0 || one.Size > blob.MaxManifest {
			return fmt.Errorf("referrer %s has %d bytes, accepted are %d: %w", one.Digest, one.Size, blob.MaxManifest, ocm.ErrLimit)
		}
		if (l.artifactType == "" || one.ArtifactType == l.artifactType) && !l.yield(one, nil) {
			return errStop
		}
		return nil
	})
}

// referrersByTag reads the index of the fallback tag. A tag of this name that is no index, or is the
// subject itself, is something else.
func (r *repo) referrersByTag(ctx context.Context, subject ociv1.Descriptor, l *listing) error {
	index, rc, err := r.oras.Manifests().FetchReference(ctx, oci.ReferrersTag(subject.Digest))
	if err != nil {
		return err
	}
	defer rc.Close()
	if index.MediaType != ociv1.MediaTypeImageIndex || index.Digest == subject.Digest {
		return nil
	}
	raw, err := blob.ReadAll(ctx, opened{rc}, index, blob.MaxManifest)
	if err != nil {
		return &badPage{fmt.Errorf("index of referrers: %w", err)}
	}
	found, err := blob.Children(index, raw)
	if err != nil {
		return &badPage{fmt.Errorf("index of referrers: %w", err)}
	}
	return l.page(found)
}

// opened is content that is open already.
type opened struct{ rc io.ReadCloser }

func (o opened) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) { return o.rc, nil }
