// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
)

var (
	_ ocm.Draft   = (*draft)(nil)
	_ ocm.Adopter = (*draft)(nil)
)

type draft struct {
	r             *Repository
	repo          Repo
	name, version string
	base          *version

	mu    sync.Mutex
	blobs map[string]ociv1.Descriptor // what was added, by digest
}

// Add implements [ocm.Draft].
func (d *draft) Add(ctx context.Context, c ocm.Content, hint string) (ocm.Stored, error) {
	root, err := d.copier().copy(ctx, c)
	if err != nil {
		return ocm.Stored{}, err
	}
	d.mu.Lock()
	if have, ok := d.blobs[root.Digest.String()]; !ok || !blob.IsManifest(have.MediaType) { // a manifest stays one
		d.blobs[root.Digest.String()] = root
	}
	d.mu.Unlock()
	access, err := ocm.NewSpec(LocalBlob{
		Type: LocalBlobType, LocalReference: root.Digest.String(), MediaType: root.MediaType, ReferenceName: hint,
	})
	return ocm.Stored{Root: root, Access: access}, err
}

// Close implements [ocm.Draft]. Blobs that were added stay where they are; they are found again
// by digest when the same content is added next time.
func (d *draft) Close() error { return nil }

// Commit implements [ocm.Draft].
func (d *draft) Commit(ctx context.Context, desc *ocm.Descriptor) (ocm.Version, error) {
	v, err := d.commit(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", d.r, d.name, d.version, err)
	}
	return v, nil
}

func (d *draft) commit(ctx context.Context, desc *ocm.Descriptor) (*version, error) {
	if c := &desc.Component; c.Name != d.name || c.Version != d.version {
		return nil, fmt.Errorf("the descriptor says %s:%s: %w", c.Name, c.Version, ocm.ErrInvalid)
	}
	locals, err := d.locals(ctx, desc)
	if err != nil {
		return nil, err
	}
	doc, err := descriptor.Encode(desc)
	if err != nil {
		return nil, err
	}
	if len(doc.Bytes) > descriptor.MaxBytes {
		return nil, fmt.Errorf("component descriptor has %d bytes, accepted are %d: %w", len(doc.Bytes), descriptor.MaxBytes, ocm.ErrLimit)
	}
	top, raw, err := d.manifest(ctx, doc, locals)
	if err != nil {
		return nil, err
	}
	if err := d.show(ctx, top, raw); err != nil {
		return nil, err
	}
	v := &version{in: d.r, repo: d.repo, manifest: top, blobs: map[digest.Digest]*ociv1.Descriptor{}}
	for _, l := range locals {
		v.blobs[l.blob.Digest] = &l.blob
	}
	v.desc, err = descriptor.Decode(doc.MediaType, doc.Bytes)
	return v, err
}

// show makes the version visible.
func (d *draft) show(ctx context.Context, top ociv1.Descriptor, raw []byte) error {
	was := Absent()
	if d.base != nil {
		was = At(d.base.manifest.Digest)
	}
	put := func() error { return d.repo.PutManifest(ctx, top, raw, Tag(d.version), was) }
	if _, costs := d.repo.(ManifestReader); !costs {
		return put() // an archive writes its index for all who wait, so the more the better
	}
	return d.copier().job().Do(ctx, put)
}

// Adopt implements [ocm.Adopter]. A manifest that refers to more than its descriptor does is not taken
// over: what nobody speaks of would come along.
func (d *draft) Adopt(ctx context.Context, v ocm.Version, alone bool) (ocm.Version, error) {
	src, ok := v.(*version)
	if !ok || !src.tight() {
		return nil, fmt.Errorf("%s: the manifest cannot be taken over as it is: %w", d.r, errors.ErrUnsupported)
	}
	if c := &src.desc.Component; c.Name != d.name || c.Version != d.version {
		return nil, fmt.Errorf("%s: %s:%s: the descriptor says %s:%s: %w", d.r, d.name, d.version, c.Name, c.Version, ocm.ErrInvalid)
	}
	if err := d.adopt(ctx, src, alone); err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", d.r, d.name, d.version, err)
	}
	return &version{in: d.r, repo: d.repo, manifest: src.manifest, desc: src.desc, blobs: src.blobs}, nil
}

func (d *draft) adopt(ctx context.Context, src *version, alone bool) error {
	content := src.content()
	content.Name = d.name + ":" + d.version
	raw, err := blob.ReadAll(ctx, content.From, src.manifest, blob.MaxManifest)
	if err != nil {
		return err
	}
	if err := d.copier().children(ctx, content, src.manifest, raw, 0); err != nil {
		return err
	}
	if !alone { // before the version is visible: nobody may find it without its signatures
		if err := d.copier().copyAttached(ctx, src.asked(), src.manifest); err != nil {
			return err
		}
	}
	return d.show(ctx, plain(src.manifest), raw)
}

func (d *draft) copier() copier {
	return copier{env: d.r.env, to: d.repo, place: place{d.r, d.name}}
}

// local is one blob of the version and the elements that use it.
type local struct {
	blob      ociv1.Descriptor
	artifacts []artifact
}

// artifact is an element in the annotation of a layer or index entry.
type artifact struct {
	Identity ocm.Identity `json:"identity"`
	Kind     string       `json:"kind"`
}

// locals lists the blobs that the descriptor's local accesses refer to, in the order of the
// elements, each once, with the elements that use it.
func (d *draft) locals(ctx context.Context, desc *ocm.Descriptor) ([]*local, error) {
	var list []*local
	byDigest := map[digest.Digest]*local{}
	add := func(kind string, e *ocm.Element, access ocm.Spec) error {
		if !IsLocal(access.Type) {
			return nil
		}
		l, err := ParseLocal(access)
		if err != nil {
			return err
		}
		digests, err := l.digests()
		if err != nil {
			return err
		}
		for _, dg := range digests {
			if byDigest[dg] == nil {
				b, err := d.find(ctx, dg, l.MediaType)
				if err != nil {
					return err
				}
				byDigest[dg] = &local{blob: b}
				list = append(list, byDigest[dg])
			}
			byDigest[dg].artifacts = append(byDigest[dg].artifacts, artifact{Identity: e.Identity(), Kind: kind})
		}
		return nil
	}
	for i := range desc.Component.Resources {
		r := &desc.Component.Resources[i]
		if err := add("resource", &r.Element, r.Access); err != nil {
			return nil, fmt.Errorf("resource %s: %w", &r.Element, err)
		}
	}
	for i := range desc.Component.Sources {
		s := &desc.Component.Sources[i]
		if err := add("source", &s.Element, s.Access); err != nil {
			return nil, fmt.Errorf("source %s: %w", &s.Element, err)
		}
	}
	return list, nil
}

// find looks a blob up among what was added, then in the base, then in the repository itself,
// where it is read to be sure of it.
func (d *draft) find(ctx context.Context, dg digest.Digest, mediaType string) (ociv1.Descriptor, error) {
	d.mu.Lock()
	b, ok := d.blobs[dg.String()]
	d.mu.Unlock()
	if ok {
		return b, nil
	}
	if d.base != nil {
		if b, ok := d.base.blobs[dg]; ok {
			return ociv1.Descriptor{MediaType: b.MediaType, Digest: b.Digest, Size: b.Size}, nil
		}
	}
	if blob.IsManifest(mediaType) {
		b, err := d.repo.Resolve(ctx, dg.String())
		if err != nil {
			return b, fmt.Errorf("local blob %s: %w", dg, err)
		}
		return b, blob.Check(ctx, ocm.Content{Root: b, From: d.repo})
	}
	r, err := blob.Open(ctx, d.repo, ociv1.Descriptor{MediaType: mediaType, Digest: dg, Size: -1})
	if err != nil {
		return b, fmt.Errorf("local blob %s: %w", dg, err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	return ociv1.Descriptor{MediaType: mediaType, Digest: dg, Size: n}, err
}

// manifest stores descriptor, config and, where nested artifacts demand an index, the
// manifest, and returns the topmost document, which the caller makes visible.
func (d *draft) manifest(ctx context.Context, doc *ocm.Document, locals []*local) (ociv1.Descriptor, []byte, error) {
	layer, err := d.push(ctx, doc.MediaType, doc.Bytes)
	if err != nil {
		return layer, nil, fmt.Errorf("component descriptor: %w", err)
	}
	config, err := d.push(ctx, MediaTypeConfig, configOf(layer))
	if err != nil {
		return config, nil, fmt.Errorf("config: %w", err)
	}
	layers := []ociv1.Descriptor{embed(layer, doc.Bytes)}
	var nested []ociv1.Descriptor
	for _, l := range locals {
		e := ociv1.Descriptor{
			MediaType: l.blob.MediaType, Digest: l.blob.Digest, Size: l.blob.Size,
			Annotations: map[string]string{annotationArtifact: string(mustJSON(l.artifacts))},
			Platform:    platform(l.artifacts[0].Identity),
		}
		if blob.IsManifest(e.MediaType) {
			nested = append(nested, e)
		} else {
			layers = append(layers, e)
		}
	}
	annotations := map[string]string{annotationVersion: d.name + ":" + d.version, annotationCreator: creator}
	raw := mustJSON(ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		ArtifactType: ArtifactTypeDescriptor, Config: config, Layers: layers, Annotations: annotations,
	})
	m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if len(raw) > blob.MaxManifest {
		return m, nil, fmt.Errorf("manifest has %d bytes, accepted are %d: %w", len(raw), blob.MaxManifest, ocm.ErrLimit)
	}
	if nested == nil {
		return m, raw, nil
	}
	if err := d.repo.PutManifest(ctx, m, raw, "", Any()); err != nil {
		return m, nil, err
	}
	entry := embed(m, raw)
	entry.ArtifactType, entry.Annotations = ArtifactTypeDescriptor, annotations
	raw = mustJSON(ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex,
		Manifests: append([]ociv1.Descriptor{entry}, nested...), Annotations: annotations,
	})
	return ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

// maxEmbedded bounds the documents that are written into the document that refers to them, in bytes.
const maxEmbedded = 32 << 10

// embed writes a small document into its descriptor, as the OCI specification allows: whoever
// reads a version from a registry needs one request less.
func embed(d ociv1.Descriptor, b []byte) ociv1.Descriptor {
	if len(b) <= maxEmbedded {
		d.Data = b
	}
	return d
}

// push stores a small document.
func (d *draft) push(ctx context.Context, mediaType string, b []byte) (ociv1.Descriptor, error) {
	c := blob.Bytes(mediaType, b)
	c.Name = d.name + ":" + d.version
	return c.Root, d.copier().blob(ctx, c, c.Root)
}

// platform is what registries and clients show for a layer, taken from the extra identity.
func platform(id ocm.Identity) *ociv1.Platform {
	if id["architecture"] == "" && id["os"] == "" {
		return nil
	}
	p := &ociv1.Platform{Architecture: id["architecture"], OS: id["os"], Variant: id["variant"], OSVersion: id["os.version"]}
	if f := id["os.features"]; f != "" {
		p.OSFeatures = strings.Split(f, ",")
	}
	return p
}

// mustJSON encodes values that cannot fail to encode.
func mustJSON(v any) []byte {
	raw, err := jsonv2.Marshal(v, jsonv2.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("oci: %v", err))
	}
	return raw
}
