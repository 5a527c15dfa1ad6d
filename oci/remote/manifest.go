// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// Resolve asks for the manifest with HEAD. If the answer lacks digest or size, which both are
// optional for registries, the manifest is read and they are computed.
func (r *repo) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if err := r.checkReference(ref); err != nil {
		return ociv1.Descriptor{}, err
	}
	d, err := r.oras.Resolve(ctx, ref)
	var f *failure
	if err != nil && !errors.Is(err, errdef.ErrNotFound) && !errors.As(err, &f) {
		d, _, err = r.read(ctx, ref)
	}
	if err != nil {
		return ociv1.Descriptor{}, r.explain(ref, err, ocm.ErrInvalid)
	}
	if err := r.checkManifest(d); err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %s: %w", r, ref, err)
	}
	return d, nil
}

// ReadManifest implements [oci.ManifestReader] with one request. The digest is computed; what
// ref or the registry says must be equal to it ([ocm.ErrDigest]). More than [blob.MaxManifest]
// is [ocm.ErrLimit].
func (r *repo) ReadManifest(ctx context.Context, ref string) (ociv1.Descriptor, []byte, error) {
	if err := r.checkReference(ref); err != nil {
		return ociv1.Descriptor{}, nil, err
	}
	d, raw, err := r.read(ctx, ref)
	if err != nil {
		return ociv1.Descriptor{}, nil, r.explain(ref, err, ocm.ErrInvalid)
	}
	if err := r.checkManifest(d); err != nil {
		return ociv1.Descriptor{}, nil, fmt.Errorf("%s: %s: %w", r, ref, err)
	}
	// The header is the registry's word alone; the content must not say something else (CVE-2021-41190).
	var said struct {
		MediaType string `json:"mediaType"`
	}
	if err := jsonv2.Unmarshal(raw, &said); err != nil || said.MediaType != "" && said.MediaType != d.MediaType {
		return ociv1.Descriptor{}, nil, fmt.Errorf("%s: %s: expected a document of media type %s, found %.100q: %w", r, ref, d.MediaType, said.MediaType, ocm.ErrInvalid)
	}
	return d, raw, nil
}

func (r *repo) checkReference(ref string) error {
	if r.invalid == nil && !tagForm.MatchString(ref) && blob.CheckDigest(digest.Digest(ref)) != nil {
		return fmt.Errorf("%s: %.200q is neither a tag nor a sha256 or sha512 digest: %w", r, ref, ocm.ErrInvalid)
	}
	return r.invalid
}

// read gets a manifest and computes its descriptor.
func (r *repo) read(ctx context.Context, ref string) (ociv1.Descriptor, []byte, error) {
	req, err := r.ask(ctx, http.MethodGet, "manifests/"+ref, auth.ActionPull)
	if err != nil {
		return ociv1.Descriptor{}, nil, err
	}
	req.Header.Set("Accept", strings.Join(manifestTypes, ", "))
	resp, err := r.session.Do(req)
	if err != nil {
		return ociv1.Descriptor{}, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return ociv1.Descriptor{}, nil, errdef.ErrNotFound
	}
	raw, err := blob.ReadDocument(resp.Body, resp.ContentLength, blob.MaxManifest)
	if err != nil {
		return ociv1.Descriptor{}, nil, &failure{text: r.session.place(req), cause: err}
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	d := ociv1.Descriptor{MediaType: strings.TrimSpace(mediaType), Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if want := digest.Digest(ref); blob.CheckDigest(want) == nil {
		d.Digest = want.Algorithm().FromBytes(raw)
		if d.Digest != want {
			return d, nil, &failure{text: fmt.Sprintf("%s: expected %s, found %s", r.session.place(req), want, d.Digest), cause: ocm.ErrDigest}
		}
	}
	if said := digest.Digest(resp.Header.Get("Docker-Content-Digest")); said != "" && said.Algorithm().FromBytes(raw) != said {
		return d, nil, &failure{text: fmt.Sprintf("%s: the registry says %.100q, found %s", r.session.place(req), string(said), said.Algorithm().FromBytes(raw)), cause: ocm.ErrDigest}
	}
	return d, raw, nil
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
