// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// annotationMain is the annotation of an artifact set's index that names the main artifact.
const annotationMain = "software.ocm/main"

// maxListed bounds the candidates that an error lists.
const maxListed = 10

// main finds the main artifact and describes it: media type, digest and size.
func (l *layout) main(ctx context.Context) (ociv1.Descriptor, error) {
	for _, name := range indexNames {
		raw, ok := l.indexes[name]
		if !ok {
			continue
		}
		d, err := selectMain(name, raw)
		if err != nil {
			return ociv1.Descriptor{}, err
		}
		return l.describe(ctx, d)
	}
	return ociv1.Descriptor{}, fmt.Errorf("the archive has no %s: %w", ociv1.ImageIndexFile, ocm.ErrInvalid)
}

// selectMain chooses one entry of an index document.
func selectMain(name string, raw []byte) (ociv1.Descriptor, error) {
	entries, err := Children(ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.Digest(name)}, raw)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	var index struct {
		Annotations map[string]string `json:"annotations"`
		Other       ocm.RawJSON       `json:",embed"`
	}
	if err := jsonv2.Unmarshal(raw, &index); err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %v: %w", name, err, ocm.ErrInvalid)
	}
	if main := index.Annotations[annotationMain]; main != "" {
		named := unique(entries, func(d ociv1.Descriptor) bool { return d.Digest.String() == main })
		if len(named) != 1 {
			return ociv1.Descriptor{}, fmt.Errorf("%s: annotation %s names %.200q; expected one of %s: %w", name, annotationMain, main, list(entries), ocm.ErrInvalid)
		}
		return named[0], nil
	}
	all := unique(entries, func(ociv1.Descriptor) bool { return true })
	if len(all) == 1 {
		return all[0], nil
	}
	tagged := unique(entries, func(d ociv1.Descriptor) bool { return d.Annotations[ociv1.AnnotationRefName] != "" })
	if len(tagged) == 1 {
		return tagged[0], nil
	}
	return ociv1.Descriptor{}, fmt.Errorf("%s: expected one artifact, or one with the annotation %s; found %s: %w",
		name, ociv1.AnnotationRefName, list(all), ocm.ErrInvalid)
}

// unique returns the entries that fn accepts; an artifact that stands there with several tags
// counts once.
func unique(entries []ociv1.Descriptor, fn func(ociv1.Descriptor) bool) []ociv1.Descriptor {
	var out []ociv1.Descriptor
	seen := map[digest.Digest]bool{}
	for _, d := range entries {
		if !fn(d) || seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		out = append(out, d)
	}
	return out
}

// list names artifacts for messages.
func list(entries []ociv1.Descriptor) string {
	if len(entries) == 0 {
		return "none"
	}
	var names []string
	for i, d := range entries {
		if i == maxListed {
			names = append(names, fmt.Sprintf("and %d more", len(entries)-maxListed))
			break
		}
		name := d.Digest.String()
		if tag := d.Annotations[ociv1.AnnotationRefName]; tag != "" {
			name = fmt.Sprintf("%s (%.128q)", name, tag)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// describe makes sure that the artifact is in the archive and is a manifest or index, whose
// media type is looked up in the document where the archive's index does not say it. Nothing
// else of the index entry is passed on: tags and the like belong to the archive.
func (l *layout) describe(ctx context.Context, d ociv1.Descriptor) (ociv1.Descriptor, error) {
	main := ociv1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	at, ok := l.blobs[d.Digest]
	switch {
	case !ok:
		return main, fmt.Errorf("main artifact %s is not in the archive: %w", d.Digest, ocm.ErrNotFound)
	case at.size != d.Size:
		return main, fmt.Errorf("main artifact %s: expected %d bytes, found %d: %w", d.Digest, d.Size, at.size, ocm.ErrDigest)
	}
	if main.MediaType == "" {
		raw, err := ReadAll(ctx, l, main, MaxManifest)
		if err != nil {
			return main, fmt.Errorf("main artifact: %w", err)
		}
		main.MediaType = sniffManifest(raw)
	}
	if !IsManifest(main.MediaType) {
		return main, fmt.Errorf("main artifact %s: expected a manifest or index, found media type %.200q: %w", d.Digest, main.MediaType, ocm.ErrInvalid)
	}
	return main, nil
}

// sniffManifest tells the media type of a manifest or index by its members; empty if it is
// neither. Docker's documents always name theirs.
func sniffManifest(raw []byte) string {
	var m struct {
		MediaType string      `json:"mediaType"`
		Config    ocm.RawJSON `json:"config"`
		Layers    ocm.RawJSON `json:"layers"`
		Manifests ocm.RawJSON `json:"manifests"`
		Other     ocm.RawJSON `json:",embed"`
	}
	switch err := jsonv2.Unmarshal(raw, &m); {
	case err != nil:
		return ""
	case m.MediaType != "":
		return m.MediaType
	case m.Manifests != nil && m.Layers == nil && m.Config == nil:
		return ociv1.MediaTypeImageIndex
	case m.Layers != nil && m.Config != nil && m.Manifests == nil:
		return ociv1.MediaTypeImageManifest
	}
	return ""
}
