// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// DockerArchive opens what docker save (and podman, skopeo, buildkit, kaniko for docker load) writes as the graph
// of its image: plain or compressed with gzip, known by its bytes.
//
// Since Docker 25 there is an OCI layout in such archives: then the artifact in it is the image, with its
// own digest, if all of it is there; of an artifact for several platforms of which only one was saved, it is
// that one's manifest. Older archives have no manifest: it is made, always the same for the same image. The
// configuration keeps its bytes, and layers stay as they are in the archive: usually
// uncompressed, so that their digests are those that the configuration lists (diff_ids). Compressed ones are
// read once here, to compare what is in them with the configuration.
//
// The list in the archive (manifest.json) must name one image, or one that has the tag ref. What it says and what
// the OCI layout says must be the same image: [ocm.ErrInvalid] (CVE-2021-41190). [ocm.ErrDigest] if
// layers and configuration do not belong together, here or when they are read. Paths of the list are names
// of entries and never of files. Nothing is copied to disk; limits and reading are those of [Layout].
func DockerArchive(ctx context.Context, archive ocm.Content, ref string) (ocm.Content, error) {
	d := &dockerArchive{layout: newLayout(archive), files: map[string]dockerFile{}, links: map[string]string{}}
	root, err := d.open(ctx, ref)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("docker archive: %w", err)
	}
	return ocm.Content{Root: root, From: d.layout}, nil
}

// dockerList is the entry that lists the images of an archive.
const dockerList = "manifest.json"

// dockerArchive is a layout whose blobs may also stand under other names.
type dockerArchive struct {
	*layout
	files map[string]dockerFile
	links map[string]string // names of entries by the names of links
	list  []byte
	names int // bytes of all names
}

// dockerFile is a regular file of an archive.
type dockerFile struct {
	span
	form form
}

// form is what the first bytes of a file say.
type form int

const (
	unread form = iota
	plain
	gzipped
)

func (d *dockerArchive) open(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if err := d.scan(ctx, d.entries); err != nil {
		return ociv1.Descriptor{}, err
	}
	if d.list == nil { // an OCI layout that docker load accepts as well
		if d.indexes[ociv1.ImageIndexFile] == nil {
			return ociv1.Descriptor{}, fmt.Errorf("the archive has neither %s nor %s: %w", dockerList, ociv1.ImageIndexFile, ocm.ErrInvalid)
		}
		return d.main(ctx)
	}
	e, err := d.listed(ref)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	image, err := d.image(ctx, e)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	root, err := d.saved(ctx, image)
	if err != nil || root.Digest != "" {
		return root, err
	}
	return d.build(ctx, image)
}

// entries notes the files of the archive by their names, and those of an OCI layout as layout does.
func (d *dockerArchive) entries(t *tarStream, take taker) error {
	for {
		hdr, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := entryName(hdr.Name)
		if err == nil {
			err = d.entry(name, hdr, t, take)
		}
		if err != nil {
			return fmt.Errorf("archive entry %.200q: %w", hdr.Name, err)
		}
	}
}

func (d *dockerArchive) entry(name string, hdr *tar.Header, t *tarStream, take taker) error {
	_, file := d.files[name]
	_, link := d.links[name]
	if file || link {
		return fmt.Errorf("the archive has this entry twice: %w", ocm.ErrInvalid)
	}
	if d.names += len(name) + len(hdr.Linkname); d.names > maxKept {
		return fmt.Errorf("the names in the archive have more than %d bytes: %w", maxKept, ocm.ErrLimit)
	}
	at, blob := t.pos, blobDigest(name)
	switch {
	case hdr.Typeflag == tar.TypeDir:
		return nil
	case name == ociv1.ImageIndexFile:
		return d.addIndex(name, hdr, t.tr)
	case blob != "":
		d.files[name] = dockerFile{span: span{at, hdr.Size}}
		return d.addBlob(blob, hdr, t, take)
	case hdr.Typeflag == tar.TypeSymlink:
		d.links[name] = path.Join(path.Dir(name), hdr.Linkname)
		return nil
	case hdr.Typeflag == tar.TypeLink:
		d.links[name] = path.Clean(hdr.Linkname)
		return nil
	case hdr.Typeflag != tar.TypeReg:
		return fmt.Errorf("expected a regular file: %w", ocm.ErrInvalid)
	case name == dockerList:
		if hdr.Size > MaxManifest {
			return fmt.Errorf("%d bytes, accepted are %d: %w", hdr.Size, MaxManifest, ocm.ErrLimit)
		}
		d.list = make([]byte, hdr.Size)
		if _, err := io.ReadFull(t.tr, d.list); err != nil {
			return archiveError(err)
		}
	}
	magic := make([]byte, 2)
	n, err := io.ReadFull(t.tr, magic)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return archiveError(err)
	}
	f := dockerFile{span{at, hdr.Size}, plain}
	if isGzip(magic[:n]) {
		f.form = gzipped
	}
	d.files[name], d.last = f, at+hdr.Size
	return nil
}

// file finds an entry by a name of the list. Older versions of Docker write a layer that several images have once,
// and links to it; a link leads to an entry of the archive or nowhere.
func (d *dockerArchive) file(name string) (dockerFile, digest.Digest, error) {
	clean, err := entryName(name)
	if err != nil {
		return dockerFile{}, "", err
	}
	if to, ok := d.links[clean]; ok {
		clean = to
	}
	f, ok := d.files[clean]
	if !ok {
		return f, "", fmt.Errorf("%s names %.200q, which the archive does not have: %w", dockerList, name, ocm.ErrInvalid)
	}
	return f, blobDigest(clean), nil
}

// sameTag compares a tag of the list with what somebody has asked for, who may have left out Docker's defaults.
func sameTag(a, b string) bool { return fullTag(a) == fullTag(b) }

func fullTag(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "docker.io/"), "library/")
	if strings.LastIndexByte(s, ':') <= strings.LastIndexByte(s, '/') {
		s += ":latest"
	}
	return s
}
