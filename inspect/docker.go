// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// imageFor finds the image for a platform. An artifact that is no index is taken whatever its platform is.
// [ocm.ErrNotFound] lists the platforms that there are.
func imageFor(ctx context.Context, c ocm.Content, want blob.Platform) (ociv1.Descriptor, error) {
	if !blob.IsIndex(c.Root.MediaType) {
		return c.Root, nil
	}
	selection, err := blob.SelectPlatforms(ctx, c.From, c.Root, want.Covers)
	if err != nil {
		return c.Root, err
	}
	c.Skip = selection.Skip()
	var found []ociv1.Descriptor
	err = blob.WalkContent(ctx, c, func(d ociv1.Descriptor, _ []byte) error {
		about := d.Platform == nil || d.Platform.OS == "unknown"
		if blob.IsManifest(d.MediaType) && !blob.IsIndex(d.MediaType) && (!about || len(selection.Offered) == 0) {
			found = append(found, d)
		}
		return nil
	})
	switch {
	case err != nil:
		return c.Root, err
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return c.Root, fmt.Errorf("no image for %s, there are images for %s: %w", want, strings.Join(selection.Offered, ", "), ocm.ErrNotFound)
	}
	return c.Root, fmt.Errorf("%d images for %s, say which one; there are images for %s: %w", len(found), want, strings.Join(selection.Offered, ", "), ocm.ErrInvalid)
}

// dockerEntry is the one entry of manifest.json in an archive for "docker load".
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeDocker writes an image as an archive for "docker load". Layers stay compressed, if they are: all that read
// such archives can do with that. Equal images and names give equal bytes; every blob is verified while it is copied.
func writeDocker(ctx context.Context, w io.Writer, from ocm.Fetcher, image ociv1.Descriptor, name string) error {
	m, err := manifestOf(ctx, from, image)
	if err != nil {
		return err
	}
	if m.Config.MediaType != ociv1.MediaTypeImageConfig && m.Config.MediaType != "application/vnd.docker.container.image.v1+json" {
		return fmt.Errorf("the OCI artifact is no image: its configuration is %q: %w", m.Config.MediaType, ocm.ErrInvalid)
	}
	entry := dockerEntry{Config: m.Config.Digest.Encoded() + ".json", RepoTags: []string{}, Layers: []string{}}
	if name != "" {
		entry.RepoTags = append(entry.RepoTags, name)
	}
	t := tar.NewWriter(w)
	if err := addBlob(ctx, t, entry.Config, from, m.Config); err != nil {
		return err
	}
	written := map[digest.Digest]bool{}
	for _, layer := range m.Layers {
		if !isLayer(layer.MediaType) {
			return fmt.Errorf("the OCI artifact is no image: a layer is %q: %w", layer.MediaType, ocm.ErrInvalid)
		}
		file := layer.Digest.Encoded() + ".tar"
		entry.Layers = append(entry.Layers, file)
		if written[layer.Digest] {
			continue
		}
		written[layer.Digest] = true
		if err := addBlob(ctx, t, file, from, layer); err != nil {
			return err
		}
	}
	raw, err := jsonv2.Marshal([]dockerEntry{entry}, jsonv2.Deterministic(true))
	if err != nil {
		return err
	}
	if err := addFile(t, "manifest.json", int64(len(raw)), strings.NewReader(string(raw))); err != nil {
		return err
	}
	return t.Close()
}

func addBlob(ctx context.Context, t *tar.Writer, name string, from ocm.Fetcher, d ociv1.Descriptor) error {
	r, err := blob.Open(ctx, from, d)
	if err != nil {
		return err
	}
	defer r.Close()
	return addFile(t, name, d.Size, r)
}

func addFile(t *tar.Writer, name string, size int64, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}

// isLayer reports whether a media type is that of a layer of an image: a tar archive, compressed or not.
func isLayer(mediaType string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(mediaType, "+gzip"), "+zstd"), ".gzip")
	return slices.Contains([]string{
		"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar",
	}, base)
}

// taggedName is what Docker takes as the name of an image.
var taggedName = regexp.MustCompile(`^(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// imageName is the name and tag that an image gets where it is loaded: that which its access says, else the name and
// version of the resource; empty if these make no name.
func imageName(r *ocm.Resource) string {
	var a struct {
		ImageReference string `json:"imageReference"`
		ReferenceName  string `json:"referenceName"`
	}
	_ = r.Access.Decode(&a) // what is not there names nothing
	for _, name := range []string{a.ImageReference, a.ReferenceName, strings.ToLower(r.Name) + ":" + strings.ReplaceAll(r.Version, "+", ".build-")} {
		if _, rest, ok := strings.Cut(name, "://"); ok {
			name = rest
		}
		name, _, _ = strings.Cut(name, "@")
		if len(name) <= 255+128 && taggedName.MatchString(name) {
			return name
		}
	}
	return ""
}
