// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// Artifact is a chart archive as the OCI artifact that helm push makes of it, but without the time of its making:
// the same archive and provenance file give the same digest everywhere. The archive is read once, to learn its
// digest and its metadata, and once more whenever it is fetched; nothing is kept of it. prov is the provenance file, nil
// for none; it must be about this very archive ([ocm.ErrDigest]).
func Artifact(ctx context.Context, archive ocm.Content, prov []byte) (ocm.Content, *Meta, error) {
	archive, meta, err := survey(ctx, archive)
	if err != nil {
		return ocm.Content{}, nil, err
	}
	raw, err := meta.config()
	if err != nil {
		return ocm.Content{}, nil, err
	}
	config := blob.Bytes(MediaTypeConfig, raw)
	m := ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: config.Root, Layers: []ociv1.Descriptor{archive.Root}, Annotations: meta.ociAnnotations(),
	}
	p := parts{config.Root.Digest: config, archive.Root.Digest: archive}
	if prov != nil {
		if err := CheckProvenance(prov, archive.Root.Digest); err != nil {
			return ocm.Content{}, nil, err
		}
		c := blob.Bytes(MediaTypeProvenance, prov)
		m.Layers = append(m.Layers, c.Root)
		p[c.Root.Digest] = c
	}
	if raw, err = json.Marshal(m); err != nil {
		return ocm.Content{}, nil, err
	}
	root := blob.Bytes(m.MediaType, raw)
	p[root.Root.Digest] = root
	return ocm.Content{Root: root.Root, From: p}, meta, nil
}

// parts is an artifact by the digests of its parts.
type parts map[digest.Digest]ocm.Content

// Fetch implements [ocm.Fetcher].
func (p parts) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	c, ok := p[d.Digest]
	if !ok {
		return nil, fmt.Errorf("chart: %s: %w", d.Digest, ocm.ErrNotFound)
	}
	return c.Open(ctx)
}

// survey reads an archive to its end and completes its description.
func survey(ctx context.Context, archive ocm.Content) (ocm.Content, *Meta, error) {
	rc, err := blob.OpenContent(ctx, archive)
	if err != nil {
		return archive, nil, err
	}
	defer rc.Close()
	h := sha256.New()
	var n counter
	r := io.TeeReader(rc, io.MultiWriter(h, &n))
	meta, err := Scan(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return archive, nil, err
	}
	archive.Root = ociv1.Descriptor{MediaType: MediaTypeContent, Digest: digest.NewDigest(digest.SHA256, h), Size: int64(n)}
	return archive, meta, nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// CheckProvenance refuses a provenance file that does not have the archive's digest in its signed part. Whether its
// signature is good is for those to say who know the signer's key: helm verify. [ocm.ErrDigest] if it is about another archive.
func CheckProvenance(prov []byte, archive digest.Digest) error {
	text := string(prov)
	const begin, end = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
	at := strings.Index(text, end)
	if !strings.HasPrefix(strings.TrimSpace(text), begin) || at < 0 {
		return fmt.Errorf("provenance file: it is no signed message: %w", ocm.ErrInvalid)
	}
	if !strings.Contains(text[:at], "sha256:"+archive.Encoded()) {
		return fmt.Errorf("provenance file: it is about another archive, expected %s in it; sign the chart again, or take the file away: %w", archive, ocm.ErrDigest)
	}
	return nil
}

// ociAnnotations are those of helm push, without the time.
func (m *Meta) ociAnnotations() map[string]string {
	out := map[string]string{}
	for k, v := range m.Annotations {
		out[k] = v
	}
	set := func(name, value string) {
		if _, given := out[name]; strings.TrimSpace(value) != "" && !given {
			out[name] = value
		}
	}
	delete(out, ociv1.AnnotationTitle) // these two are not for the chart to say otherwise
	delete(out, ociv1.AnnotationVersion)
	set(ociv1.AnnotationTitle, m.Name)
	set(ociv1.AnnotationVersion, m.Version)
	set(ociv1.AnnotationDescription, m.Description)
	set(ociv1.AnnotationURL, m.Home)
	if len(m.Sources) > 0 {
		set(ociv1.AnnotationSource, m.Sources[0])
	}
	var authors []string
	for _, p := range m.Maintainers {
		who := p.Name
		if p.Email != "" {
			who += " (" + p.Email + ")"
		}
		authors = append(authors, who)
	}
	set(ociv1.AnnotationAuthors, strings.Join(authors, ", "))
	return out
}

// Chart is a chart that was found in content.
type Chart struct {
	Archive    ocm.Content  // name-version.tgz
	Provenance *ocm.Content // nil: there is none
	Meta       *Meta
}

// Provider is an [ocm.Fetcher] of an archive that knows where a provenance file is.
type Provider interface {
	// Provenance reads the provenance file; [ocm.ErrNotFound] if there is none.
	Provenance(ctx context.Context) ([]byte, error)
}

// Find finds the chart in content: an OCI artifact, an archive of one, or the chart's own archive, whatever its media
// type. [ocm.ErrInvalid] if there is no chart in it. Only metadata is read; the archive is verified by whoever reads it.
func Find(ctx context.Context, c ocm.Content) (Chart, error) {
	if blob.IsLayout(c.Root.MediaType) {
		var err error
		if c, err = blob.Layout(ctx, c); err != nil {
			return Chart{}, err
		}
	}
	if blob.IsManifest(c.Root.MediaType) {
		return findLayer(ctx, c)
	}
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return Chart{}, err
	}
	defer rc.Close()
	meta, err := Head(rc)
	if err != nil {
		return Chart{}, fmt.Errorf("content of media type %.100q is no chart: %w", c.Root.MediaType, err)
	}
	found := Chart{Archive: c, Meta: meta}
	prov, err := ProvenanceOf(ctx, c)
	if prov != nil {
		p := blob.Bytes(MediaTypeProvenance, prov)
		found.Provenance = &p
	}
	return found, err
}

// ProvenanceOf reads the provenance file that the fetcher of an archive may know of, see [Provider]; nil if there is none.
func ProvenanceOf(ctx context.Context, archive ocm.Content) ([]byte, error) {
	p, ok := archive.From.(Provider)
	if !ok {
		return nil, nil
	}
	raw, err := p.Provenance(ctx)
	if absent(err) {
		return nil, nil
	}
	return raw, err
}

// findLayer finds the chart in an OCI artifact.
func findLayer(ctx context.Context, c ocm.Content) (Chart, error) {
	raw, err := blob.ReadAll(ctx, c.From, c.Root, blob.MaxManifest)
	if err != nil {
		return Chart{}, err
	}
	children, err := blob.Children(c.Root, raw)
	if err != nil {
		return Chart{}, err
	}
	if blob.IsIndex(c.Root.MediaType) {
		if len(children) != 1 || !blob.IsManifest(children[0].MediaType) || blob.IsIndex(children[0].MediaType) {
			return Chart{}, fmt.Errorf("an index of %d artifacts is no chart: %w", len(children), ocm.ErrInvalid)
		}
		c.Root = children[0]
		return findLayer(ctx, c)
	}
	var found Chart
	for _, d := range children {
		part := ocm.Content{Root: d, From: c.From, Origin: c.Origin}
		switch {
		case d.MediaType == MediaTypeConfig && found.Meta == nil:
			if raw, err = blob.ReadAll(ctx, c.From, d, MaxMetadata); err == nil {
				found.Meta, err = parseConfig(raw)
			}
			if err != nil {
				return Chart{}, err
			}
		case (d.MediaType == MediaTypeContent || d.MediaType == mediaTypeLegacy) && found.Archive.From == nil:
			found.Archive = part
		case d.MediaType == MediaTypeProvenance && found.Provenance == nil:
			if d.Size > MaxProvenance {
				return Chart{}, fmt.Errorf("provenance file of %d bytes, accepted are %d: %w", d.Size, MaxProvenance, ocm.ErrLimit)
			}
			found.Provenance = &part
		}
	}
	if found.Meta == nil || found.Archive.From == nil {
		return Chart{}, fmt.Errorf("artifact %s is no chart, it has no layer of type %s: %w", c.Root.Digest, MediaTypeContent, ocm.ErrInvalid)
	}
	return found, nil
}

func readLayer(ctx context.Context, c ocm.Content) ([]byte, error) {
	return blob.ReadAll(ctx, c.From, c.Root, MaxProvenance)
}

// hexDigest reads a digest as chart repositories write it: bare or with its algorithm. Empty stays empty.
func hexDigest(s string) (digest.Digest, error) {
	bare := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	if bare == "" {
		return "", nil
	}
	if b, err := hex.DecodeString(bare); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("digest %.100q: expected the 64 hex digits of a SHA-256: %w", s, ocm.ErrInvalid)
	}
	return digest.NewDigestFromEncoded(digest.SHA256, bare), nil
}
