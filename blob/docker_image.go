// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// dockerEntry is one image of the list.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
	Other    ocm.RawJSON `json:",embed"`
}

// listed is the only image of the list, or the only one with the tag.
func (d *dockerArchive) listed(ref string) (dockerEntry, error) {
	var all []dockerEntry
	if err := jsonv2.Unmarshal(d.list, &all); err != nil {
		return dockerEntry{}, fmt.Errorf("%s: %v: %w", dockerList, err, ocm.ErrInvalid)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	var tags []string
	var found []dockerEntry
	for _, e := range all {
		if len(tags) < maxListed {
			tags = append(tags, e.RepoTags[:min(len(e.RepoTags), maxListed)]...)
		}
		if ref != "" && slices.ContainsFunc(e.RepoTags, func(tag string) bool { return sameTag(tag, ref) }) {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		return dockerEntry{}, fmt.Errorf("%s: expected one image, found %d (%.500q); save the one that is meant: %w", dockerList, len(all), tags, ocm.ErrInvalid)
	}
	return found[0], nil
}

// dockerImage is an image of the list with its configuration.
type dockerImage struct {
	dockerEntry
	config  ociv1.Descriptor
	diffIDs []digest.Digest
}

// image reads the configuration, which says what the layers must be.
func (d *dockerArchive) image(ctx context.Context, e dockerEntry) (dockerImage, error) {
	m := dockerImage{dockerEntry: e}
	raw, err := d.configuration(ctx, e.Config)
	if err != nil {
		return m, fmt.Errorf("configuration: %w", err)
	}
	m.config = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if m.diffIDs, err = diffIDs(raw); err != nil {
		return m, fmt.Errorf("configuration %s: %w", m.config.Digest, err)
	}
	if len(m.diffIDs) != len(e.Layers) {
		return m, fmt.Errorf("configuration %s: it has %d layers, %s lists %d: %w", m.config.Digest, len(m.diffIDs), dockerList, len(e.Layers), ocm.ErrDigest)
	}
	d.hold(m.config.Digest, raw)
	return m, nil
}

// diffIDs are the digests of the uncompressed layers, as a configuration lists them (CVE-2024-3727: each is
// checked before it is used).
func diffIDs(config []byte) ([]digest.Digest, error) {
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
			Other   ocm.RawJSON     `json:",embed"`
		} `json:"rootfs"`
		Other ocm.RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	if len(c.RootFS.DiffIDs) > MaxChildren {
		return nil, fmt.Errorf("%d layers, accepted are %d: %w", len(c.RootFS.DiffIDs), MaxChildren, ocm.ErrLimit)
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := CheckDigest(id); err != nil {
			return nil, fmt.Errorf("diff_ids: %w", err)
		}
	}
	return c.RootFS.DiffIDs, nil
}

// configuration reads the file of that name, whose digest usually is its name.
func (d *dockerArchive) configuration(ctx context.Context, name string) ([]byte, error) {
	f, promised, err := d.file(name)
	if err != nil {
		return nil, err
	}
	if f.size > MaxManifest {
		return nil, fmt.Errorf("%d bytes, accepted are %d: %w", f.size, MaxManifest, ocm.ErrLimit)
	}
	if promised == "" {
		promised = digest.NewDigestFromEncoded(digest.SHA256, strings.TrimSuffix(path.Base(name), ".json"))
	}
	rc, err := d.piece(ctx, f.span)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	raw, err := ReadDocument(rc, f.size, MaxManifest)
	if err != nil {
		return nil, archiveError(err)
	}
	if CheckDigest(promised) == nil && promised.Algorithm().FromBytes(raw) != promised {
		return nil, fmt.Errorf("%.200q: expected %s, found %s: %w", name, promised, digest.FromBytes(raw), ocm.ErrDigest)
	}
	return raw, nil
}

// hold keeps a small document, which is then delivered like a blob of the archive.
func (d *dockerArchive) hold(dg digest.Digest, raw []byte) {
	d.kept[dg] = raw
	d.blobs[dg] = span{0, int64(len(raw))}
}

// saved finds the image in the OCI layout, if there is one: the artifact that was saved if it is whole, else
// the manifest of the image. Neither is no error: an empty descriptor.
func (d *dockerArchive) saved(ctx context.Context, m dockerImage) (ociv1.Descriptor, error) {
	var none ociv1.Descriptor
	raw := d.indexes[ociv1.ImageIndexFile]
	if raw == nil {
		return none, nil
	}
	tops, err := Children(ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: ociv1.ImageIndexFile}, raw)
	if err != nil {
		return none, err
	}
	s := savedImages{ctx: ctx, in: d.layout, want: m.config.Digest, seen: map[digest.Digest]bool{}}
	for _, top := range unique(tops, func(t ociv1.Descriptor) bool { return IsManifest(t.MediaType) }) {
		s.found = none
		if err := s.look(top, 0); err != nil {
			return none, err
		}
		if s.found.Digest == "" {
			continue
		}
		whole, err := s.whole(top)
		if err != nil {
			return none, err
		}
		root := none
		if whole {
			root = top
		} else if whole, err = s.whole(s.found); err == nil && whole {
			root = s.found
		}
		if root.Digest == "" {
			continue
		}
		return ociv1.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}, d.agrees(ctx, s.found, m)
	}
	if s.others > 0 {
		return none, fmt.Errorf("%s lists the image with configuration %s, %s lists others only: %w", dockerList, m.config.Digest, ociv1.ImageIndexFile, ocm.ErrInvalid)
	}
	return none, nil
}

// savedImages looks for the manifest of a configuration below an entry of the index.
type savedImages struct {
	ctx    context.Context
	in     *layout
	want   digest.Digest
	found  ociv1.Descriptor
	others int // images that are there with another configuration
	seen   map[digest.Digest]bool
}

func (s *savedImages) look(d ociv1.Descriptor, depth int) error {
	if depth > MaxDepth || len(s.seen) > MaxChildren {
		return fmt.Errorf("%s: too many manifests, or nested too deep: %w", ociv1.ImageIndexFile, ocm.ErrLimit)
	}
	if !IsManifest(d.MediaType) || s.seen[d.Digest] {
		return nil
	}
	s.seen[d.Digest] = true
	raw, err := ReadAll(s.ctx, s.in, d, MaxManifest)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil // of another platform, which was not saved
	}
	if err != nil {
		return err
	}
	children, err := Children(d, raw)
	if err != nil {
		return err
	}
	if !IsIndex(d.MediaType) {
		switch config := children[0].Digest; {
		case config == s.want && s.found.Digest == "":
			s.found = d
		case config != s.want:
			s.others++
		}
		return nil
	}
	for _, child := range children {
		if err := s.look(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether everything below a node is in the archive. Of blobs only the sizes are compared:
// their digests are when they are read.
func (s *savedImages) whole(d ociv1.Descriptor) (bool, error) {
	err := Walk(s.ctx, s.in, d, func(d ociv1.Descriptor, raw []byte) error {
		at, ok := s.in.blobs[d.Digest]
		if !ok {
			return fmt.Errorf("blob %s: %w", d.Digest, ocm.ErrNotFound)
		}
		if raw == nil && at.size != d.Size {
			return fmt.Errorf("blob %s: expected %d bytes, found %d: %w", d.Digest, d.Size, at.size, ocm.ErrDigest)
		}
		return nil
	})
	if errors.Is(err, ocm.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// agrees compares the layers of a manifest with those of the configuration and those that the list names. What the
// list names under another digest, as that of the uncompressed layer, must be the same layer: then that of the
// manifest is read.
func (d *dockerArchive) agrees(ctx context.Context, manifest ociv1.Descriptor, m dockerImage) error {
	raw, err := ReadAll(ctx, d.layout, manifest, MaxManifest)
	if err != nil {
		return err
	}
	children, err := Children(manifest, raw)
	if err != nil {
		return err
	}
	layers := children[1:]
	if len(layers) != len(m.diffIDs) {
		return fmt.Errorf("manifest %s has %d layers, its configuration %d: %w", manifest.Digest, len(layers), len(m.diffIDs), ocm.ErrDigest)
	}
	left := int64(MaxArchive) // of what is decompressed
	for i, l := range layers {
		if err := d.sameLayer(ctx, l, m.Layers[i], m.diffIDs[i], &left); err != nil {
			return fmt.Errorf("manifest %s: layer %d: %w", manifest.Digest, i, err)
		}
	}
	return nil
}

// sameLayer compares a layer of a manifest with the one of the list, which has this name.
func (d *dockerArchive) sameLayer(ctx context.Context, l ociv1.Descriptor, name string, diffID digest.Digest, left *int64) error {
	asItIs := strings.HasSuffix(l.MediaType, ".tar")
	if asItIs && l.Digest.Algorithm() == diffID.Algorithm() && l.Digest != diffID {
		return fmt.Errorf("expected %s, found %s: %w", diffID, l.Digest, ocm.ErrDigest)
	}
	_, listed, err := d.file(name)
	if err != nil || listed == l.Digest || l.Digest == diffID {
		return err
	}
	_, err = d.unpacks(ctx, dockerFile{span: d.blobs[l.Digest]}, diffID, left)
	return err
}

// build makes the manifest of an image that has none.
func (d *dockerArchive) build(ctx context.Context, m dockerImage) (ociv1.Descriptor, error) {
	manifest := ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: m.config, Layers: []ociv1.Descriptor{},
	}
	left := int64(MaxArchive) // of what is decompressed
	for i, name := range m.Layers {
		f, _, err := d.file(name)
		if err != nil {
			return ociv1.Descriptor{}, err
		}
		l, err := d.layer(ctx, f, m.diffIDs[i], &left)
		if err != nil {
			return ociv1.Descriptor{}, fmt.Errorf("layer %d, %.200q: %w", i, name, err)
		}
		manifest.Layers = append(manifest.Layers, l)
	}
	raw, err := jsonv2.Marshal(manifest, jsonv2.Deterministic(true))
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	if len(raw) > MaxManifest {
		return ociv1.Descriptor{}, fmt.Errorf("manifest of %d bytes, accepted are %d: %w", len(raw), MaxManifest, ocm.ErrLimit)
	}
	root := ociv1.Descriptor{MediaType: manifest.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	d.hold(root.Digest, raw)
	return root, nil
}

// layer describes a layer as it is in the archive. An uncompressed one has the digest that the configuration
// says, or reading it will fail. A compressed one is read here.
func (d *dockerArchive) layer(ctx context.Context, f dockerFile, diffID digest.Digest, left *int64) (ociv1.Descriptor, error) {
	l := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageLayer, Digest: diffID, Size: f.size}
	compressed, err := d.compressed(ctx, f)
	if err != nil {
		return l, err
	}
	if compressed {
		l.MediaType = ociv1.MediaTypeImageLayerGzip
		if l.Digest, err = d.unpacks(ctx, f, diffID, left); err != nil {
			return l, err
		}
	}
	d.blobs[l.Digest] = f.span
	return l, nil
}

// compressed looks at the first bytes of a file, which are known already but for blobs of an OCI layout.
func (d *dockerArchive) compressed(ctx context.Context, f dockerFile) (bool, error) {
	if f.form != unread {
		return f.form == gzipped, nil
	}
	rc, err := d.piece(ctx, span{f.off, min(f.size, 2)})
	if err != nil {
		return false, err
	}
	defer rc.Close()
	magic, err := io.ReadAll(rc)
	return isGzip(magic), err
}

// unpacks reads a compressed layer, compares what is in it with its diff_id and returns the digest of what it is.
func (d *dockerArchive) unpacks(ctx context.Context, f dockerFile, diffID digest.Digest, left *int64) (digest.Digest, error) {
	rc, err := d.piece(ctx, f.span)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	sum := digest.SHA256.Digester()
	outer := io.TeeReader(ctxReader{ctx, rc}, sum.Hash())
	inner, _, err := Gunzip(outer)
	if err != nil {
		return "", err
	}
	v, err := NewReader(io.NopCloser(inner), ociv1.Descriptor{Digest: diffID, Size: -1})
	if err != nil {
		return "", err
	}
	bounded := &limitReader{v, *left}
	if _, err := Drain(bounded, -1); err != nil {
		return "", archiveError(err)
	}
	*left = bounded.left
	if _, err := io.Copy(io.Discard, outer); err != nil { // decoders stop where they know enough
		return "", archiveError(err)
	}
	return sum.Digest(), nil
}
