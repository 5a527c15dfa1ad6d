// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
)

// maxConfig bounds the config blob of a component version, which holds one descriptor.
const maxConfig = 64 << 10

var (
	_ ocm.Version = (*version)(nil)
	_ Attacher    = (*version)(nil)
)

type version struct {
	in       *Repository // nil: not said
	repo     Repo
	far      Repo // where it was asked for, if it is read elsewhere; see [Repository.Beside]
	manifest ociv1.Descriptor
	desc     *ocm.Descriptor
	blobs    map[digest.Digest]*ociv1.Descriptor // layers and nested artifacts
	docs     atomic.Pointer[documents]           // what was read at a cost; taken by who needs it
}

// documents are manifests, config and descriptor of a version.
type documents map[digest.Digest][]byte

// keep remembers a document that need not be asked for again. Only [load] calls it.
func (v *version) keep(d digest.Digest, raw []byte) {
	if _, costs := v.repo.(ManifestReader); !costs {
		return
	}
	if v.docs.Load() == nil {
		v.docs.Store(&documents{})
	}
	(*v.docs.Load())[d] = raw
}

// content is everything below the version's manifest. The first who asks gets what was read already with it:
// thousands of versions may wait, and need it once.
func (v *version) content() ocm.Content {
	c := ocm.Content{Root: v.manifest, From: v.repo, Origin: v.repo.Origin()}
	if docs := v.docs.Swap(nil); docs != nil {
		c.From = known{v.repo, *docs}
	}
	return c
}

// known is a repository of which some documents were read already.
type known struct {
	Repo
	docs documents
}

// Fetch implements [ocm.Fetcher].
func (k known) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if raw, ok := k.docs[d.Digest]; ok {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}
	return k.Repo.Fetch(ctx, d)
}

// asked is the OCI repository in which the version was asked for.
func (v *version) asked() Repo {
	if v.far != nil {
		return v.far
	}
	return v.repo
}

func (v *version) Manifest() ociv1.Descriptor  { return v.manifest }
func (v *version) Descriptor() *ocm.Descriptor { return v.desc }

// Attached implements [Attacher].
func (v *version) Attached(ctx context.Context) ([]Attached, error) {
	var env *ocm.Env
	if v.in != nil {
		env = v.in.env
	}
	c := ocm.Content{Root: v.manifest, From: v.asked(), Origin: v.asked().Origin()}
	if !Tells(c) {
		return nil, nil
	}
	return Attachments(ctx, env, c, v.manifest.Digest)
}

// readManifest finds a manifest and reads it, in one request where the repository can.
func readManifest(ctx context.Context, repo Repo, ref string) (ociv1.Descriptor, []byte, error) {
	if r, ok := repo.(ManifestReader); ok {
		return r.ReadManifest(ctx, ref)
	}
	d, err := repo.Resolve(ctx, ref)
	if err != nil || !blob.IsManifest(d.MediaType) {
		return d, nil, err // load tells what is wrong with another media type
	}
	raw, err := blob.ReadAll(ctx, repo, d, blob.MaxManifest)
	if errors.Is(err, ocm.ErrNotFound) {
		err = fmt.Errorf("manifest: %v: %w", err, ocm.ErrInvalid) // resolved, so it is not absent
	}
	return d, raw, err
}

// read returns a small document of a version, verified. Where reading costs a request, the copy that
// the referring document has of it does as well: its digest is the same.
func read(ctx context.Context, repo Repo, d ociv1.Descriptor, limit int64) ([]byte, error) {
	_, costs := repo.(ManifestReader)
	if costs && len(d.Data) > 0 && int64(len(d.Data)) == d.Size && d.Digest.Validate() == nil && d.Digest.Algorithm().FromBytes(d.Data) == d.Digest {
		return d.Data, nil
	}
	return blob.ReadAll(ctx, repo, d, limit)
}

// load reads the component version whose manifest or index is top; raw are its verified bytes.
func load(ctx context.Context, repo Repo, top ociv1.Descriptor, raw []byte) (*version, error) {
	if !blob.IsManifest(top.MediaType) {
		return nil, fmt.Errorf("expected a manifest or an index, found media type %q: %w", top.MediaType, ocm.ErrInvalid)
	}
	v := &version{repo: repo, manifest: top, blobs: map[digest.Digest]*ociv1.Descriptor{}}
	d := top
	v.keep(d.Digest, raw)
	if blob.IsIndex(top.MediaType) {
		var err error
		if d, err = v.descriptorEntry(raw); err != nil {
			return nil, err
		}
		if raw, err = read(ctx, repo, d, blob.MaxManifest); err != nil {
			return nil, fmt.Errorf("descriptor manifest: %w", err)
		}
		v.keep(d.Digest, raw)
	}
	layer, err := v.descriptorLayer(ctx, d, raw)
	if err != nil {
		return nil, err
	}
	doc, err := read(ctx, repo, layer, descriptor.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("component descriptor: %w", err)
	}
	v.keep(layer.Digest, doc)
	if v.desc, err = descriptor.Decode(layer.MediaType, doc); err != nil {
		return nil, fmt.Errorf("component descriptor: %w", err)
	}
	return v, v.checkAnnotation(raw)
}

// descriptorEntry finds the descriptor's manifest in an index and remembers the other entries,
// which are local OCI artifacts.
func (v *version) descriptorEntry(raw []byte) (ociv1.Descriptor, error) {
	entries, err := blob.Children(v.manifest, raw)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	if len(entries) == 0 {
		return ociv1.Descriptor{}, fmt.Errorf("index %s is empty, expected the component descriptor's manifest: %w", v.manifest.Digest, ocm.ErrInvalid)
	}
	at, marked := 0, 0
	for i, e := range entries {
		if e.Annotations[annotationDescriptor] == "true" {
			at, marked = i, marked+1
		}
	}
	if marked > 1 {
		at = 0
	}
	if entries[at].MediaType != ociv1.MediaTypeImageManifest {
		return ociv1.Descriptor{}, fmt.Errorf("index %s: expected the component descriptor's manifest first, found media type %q: %w",
			v.manifest.Digest, entries[at].MediaType, ocm.ErrInvalid)
	}
	for i := range entries {
		if i != at {
			v.blobs[entries[i].Digest] = &entries[i]
		}
	}
	return entries[at], nil
}

// descriptorLayer finds the layer that holds the descriptor: the config says which one, and the
// manifest must list it. The other layers are remembered as local blobs.
func (v *version) descriptorLayer(ctx context.Context, d ociv1.Descriptor, raw []byte) (ociv1.Descriptor, error) {
	children, err := blob.Children(d, raw)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	config, layers := children[0], children[1:]
	if !isConfig(config.MediaType) {
		return ociv1.Descriptor{}, fmt.Errorf("manifest %s is no component version: config media type is %q: %w", d.Digest, config.MediaType, ocm.ErrInvalid)
	}
	named, err := v.configured(ctx, config, layers)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	var found *ociv1.Descriptor
	for i, l := range layers {
		if l.Digest == named.Digest && found == nil {
			found = &layers[i]
			continue
		}
		if _, nested := v.blobs[l.Digest]; !nested {
			v.blobs[l.Digest] = &layers[i]
		}
	}
	if found == nil || found.Size != named.Size || found.MediaType != named.MediaType {
		return ociv1.Descriptor{}, fmt.Errorf("config %s names descriptor layer %s, which the manifest does not list as such: %w", config.Digest, named.Digest, ocm.ErrInvalid)
	}
	return *found, nil
}

// isConfig tells manifests of component versions, by the media type of their config.
func isConfig(mediaType string) bool {
	return mediaType == MediaTypeConfig || mediaType == mediaTypeConfigOld || mediaType == mediaTypeConfigV2
}

// configured returns the layer that the config says is the descriptor. Where reading costs a
// request, a config that has the digest of the one we would write for the first layer is that one.
func (v *version) configured(ctx context.Context, config ociv1.Descriptor, layers []ociv1.Descriptor) (ociv1.Descriptor, error) {
	if _, costs := v.repo.(ManifestReader); costs && len(layers) > 0 {
		first := plain(layers[0])
		if doc := configOf(first); config.Digest == digest.FromBytes(doc) {
			v.keep(config.Digest, doc)
			return first, nil
		}
	}
	doc, err := blob.ReadAll(ctx, v.repo, config, maxConfig)
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("config: %w", err)
	}
	v.keep(config.Digest, doc)
	var c struct {
		Layer *ociv1.Descriptor `json:"componentDescriptorLayer"`
	}
	if err := jsonv2.Unmarshal(doc, &c); err != nil || c.Layer == nil {
		return ociv1.Descriptor{}, fmt.Errorf("config %s does not say which layer is the component descriptor: %w", config.Digest, ocm.ErrInvalid)
	}
	return *c.Layer, nil
}

// configOf is the config blob of a version whose descriptor is this layer.
func configOf(layer ociv1.Descriptor) []byte {
	return mustJSON(map[string]ociv1.Descriptor{"componentDescriptorLayer": layer})
}

// checkAnnotation refuses a manifest that calls itself something else than its descriptor does:
// listings of other tools show the annotation.
func (v *version) checkAnnotation(raw []byte) error {
	var m struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := jsonv2.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("manifest annotations: %v: %w", err, ocm.ErrInvalid)
	}
	c := &v.desc.Component
	if a, ok := m.Annotations[annotationVersion]; ok {
		if n, ver := splitVersion(a); n != c.Name || ver != c.Version {
			return fmt.Errorf("the manifest is annotated as %q, its descriptor says %s:%s: %w", a, c.Name, c.Version, ocm.ErrInvalid)
		}
	}
	return nil
}

// tight reports whether the manifest refers to nothing but what the descriptor's local accesses do.
func (v *version) tight() bool {
	used := map[digest.Digest]bool{}
	use := func(access ocm.Spec) bool {
		if !IsLocal(access.Type) {
			return true
		}
		l, err := ParseLocal(access)
		if err != nil {
			return false
		}
		digests, err := l.digests()
		for _, d := range digests {
			used[d] = true
		}
		return err == nil
	}
	c := &v.desc.Component
	for i := range c.Resources {
		if !use(c.Resources[i].Access) {
			return false
		}
	}
	for i := range c.Sources {
		if !use(c.Sources[i].Access) {
			return false
		}
	}
	for d := range v.blobs {
		if !used[d] {
			return false
		}
	}
	return len(used) == len(v.blobs)
}

// Lacks names content of a version that is not in this repository, or not in its whole length, though the
// repository shows the version; empty if everything is there. It looks at sizes and reads nothing but
// manifests; entries of an index may have been left out. A registry, where each look costs a request, is
// taken at its word.
func (r *Repository) Lacks(ctx context.Context, v ocm.Version) string {
	src, ok := v.(*version)
	if !ok {
		return ""
	}
	repo := r.store.Repo(RepoName(src.desc.Component.Name))
	if _, costs := repo.(ManifestReader); costs {
		return ""
	}
	return src.lacks(ctx, repo)
}

func (v *version) lacks(ctx context.Context, repo Repo) string {
	for _, d := range v.blobs {
		if err := whole(ctx, repo, plain(*d), 0); err != nil {
			return err.Error()
		}
	}
	return ""
}

// whole looks for a node and everything below it.
func whole(ctx context.Context, repo Repo, d ociv1.Descriptor, depth int) error {
	there, err := repo.Exists(ctx, d)
	if err == nil && !there {
		err = fmt.Errorf("blob %s: %w", d.Digest, ocm.ErrNotFound)
	}
	if err != nil || !blob.IsManifest(d.MediaType) || depth > blob.MaxDepth {
		return err
	}
	raw, err := blob.ReadAll(ctx, repo, d, blob.MaxManifest)
	if err != nil {
		return err
	}
	children, err := blob.Children(d, raw)
	for _, child := range children {
		if blob.IsIndex(d.MediaType) {
			if there, err := repo.Exists(ctx, child); err == nil && !there {
				continue // it may have been left out
			}
		}
		if err := whole(ctx, repo, child, depth+1); err != nil {
			return err
		}
	}
	return err
}

// Blob implements [ocm.Version].
func (v *version) Blob(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	if IsRelative(access.Type) {
		return v.relative(ctx, access)
	}
	if !IsLocal(access.Type) {
		return ocm.Content{}, fmt.Errorf("access type %q is not local: %w", access.Type, errors.ErrUnsupported)
	}
	l, err := ParseLocal(access)
	if err != nil {
		return ocm.Content{}, err
	}
	digests, err := l.digests()
	if err != nil {
		return ocm.Content{}, err
	}
	parts := make([]ociv1.Descriptor, len(digests))
	for i, d := range digests {
		known, ok := v.blobs[d]
		if !ok {
			return ocm.Content{}, fmt.Errorf("local blob %s is not part of manifest %s: %w", d, v.manifest.Digest, ocm.ErrNotFound)
		}
		parts[i] = ociv1.Descriptor{MediaType: known.MediaType, Digest: known.Digest, Size: known.Size}
	}
	if len(parts) > 1 {
		if l.MediaType == "" {
			l.MediaType = "application/octet-stream"
		}
		return ocm.Content{Root: ociv1.Descriptor{MediaType: l.MediaType, Size: -1}, From: concat{v.repo, parts}}, nil
	}
	root := parts[0]
	if !blob.IsManifest(root.MediaType) && l.MediaType != "" {
		root.MediaType = l.MediaType
	}
	return ocm.Content{Root: root, From: v.repo, Origin: v.repo.Origin()}, nil
}

// concat delivers a blob that is stored in parts, each verified by its own digest.
type concat struct {
	from  ocm.Fetcher
	parts []ociv1.Descriptor
}

func (c concat) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	pr, pw := io.Pipe()
	go func() {
		for _, p := range c.parts {
			r, err := blob.Open(ctx, c.from, p)
			if err == nil {
				_, err = io.Copy(pw, r)
				r.Close()
			}
			if err != nil {
				pw.CloseWithError(err)
				return
			}
		}
		pw.Close()
	}()
	return pr, nil
}
