// SPDX-License-Identifier: Apache-2.0

package worktest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// Kit is a kit that has what [Add] adds.
func Kit() *ocm.Kit {
	kit := ocm.NewKit()
	Add(kit)
	return kit
}

// Add adds an uploader that stores in a folder, the access method that reads there, and a transformer that decompresses.
func Add(kit *ocm.Kit) {
	kit.Uploaders.Register(folder{}, ocm.Type{Names: []string{"folder/v1", "folder"}, About: "Files in a folder.", Fields: ocm.FieldsOf(place{})})
	kit.Access.Register(ocm.OpenerFunc(openFolder), ocm.Type{Names: []string{"folder/v1", "folder"}, About: "A file in a folder.", Fields: ocm.FieldsOf(file{})})
	kit.Transformers.Register(gunzip{}, ocm.Type{Names: []string{"gunzip/v1", "gunzip"}, About: "The decompressed content.", Fields: ocm.FieldsOf(plain{})})
}

// folder is an uploader.
type folder struct{}

type place struct {
	Path string `json:"path" need:"yes" about:"the folder"`
}

type file struct {
	Type      string        `json:"type"`
	Path      string        `json:"path" need:"yes" about:"the folder"`
	MediaType string        `json:"mediaType" need:"yes" about:"media type of the content"`
	Digest    digest.Digest `json:"digest" need:"yes" about:"its digest, which is the name of the file"`
	Size      int64         `json:"size" about:"its size"`
}

func (p place) name(d digest.Digest) string { return filepath.Join(p.Path, d.Encoded()) }

// Upload stores children before parents, so that a root that is there is whole.
func (folder) Upload(ctx context.Context, _ *ocm.Env, c ocm.Content, s ocm.Spec, _ string) (ocm.Stored, error) {
	var p place
	if err := s.Members(&p); err != nil {
		return ocm.Stored{}, err
	}
	if err := os.MkdirAll(p.Path, 0o755); err != nil {
		return ocm.Stored{}, err
	}
	root := c.Root
	var err error
	if root.Digest == "" {
		root, err = p.store(ctx, c)
	} else {
		err = p.storeGraph(ctx, c)
	}
	if err != nil {
		return ocm.Stored{}, err
	}
	info, err := os.Stat(p.name(root.Digest))
	if err != nil {
		return ocm.Stored{}, err
	}
	root.Size = info.Size()
	access, err := ocm.NewSpec(file{"folder/v1", p.Path, root.MediaType, root.Digest, root.Size})
	return ocm.Stored{Root: root, Access: access}, err
}

func (p place) storeGraph(ctx context.Context, c ocm.Content) error {
	if _, err := os.Stat(p.name(c.Root.Digest)); err == nil {
		return ctx.Err()
	}
	return blob.WalkContent(ctx, c, func(d ociv1.Descriptor, _ []byte) error {
		_, err := p.store(ctx, ocm.Content{Root: d, From: c.From})
		return err
	})
}

// store writes one file, which gets its name when its digest is known.
func (p place) store(ctx context.Context, c ocm.Content) (ociv1.Descriptor, error) {
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return c.Root, err
	}
	defer rc.Close()
	f, err := os.CreateTemp(p.Path, "new-*")
	if err != nil {
		return c.Root, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := sha256.New()
	if c.Root.Size, err = io.Copy(io.MultiWriter(f, h), rc); err != nil {
		return c.Root, err
	}
	if c.Root.Digest == "" {
		c.Root.Digest = digest.NewDigest(digest.SHA256, h)
	}
	return c.Root, os.Rename(f.Name(), p.name(c.Root.Digest))
}

func openFolder(_ context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var f file
	if err := s.Members(&f); err != nil {
		return ocm.Content{}, err
	}
	if err := blob.CheckDigest(f.Digest); err != nil {
		return ocm.Content{}, err
	}
	return ocm.Content{Root: ociv1.Descriptor{MediaType: f.MediaType, Digest: f.Digest, Size: f.Size}, From: place{f.Path}}, nil
}

// Fetch implements [ocm.Fetcher].
func (p place) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	f, err := os.Open(p.name(d.Digest))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%s: %w", d.Digest, ocm.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// gunzip is a transformer.
type gunzip struct{}

type plain struct {
	MediaType string `json:"mediaType" need:"yes" about:"media type of what is in it"`
}

// Transform implements [ocm.Transformer].
func (gunzip) Transform(_ context.Context, _ *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	var p plain
	if err := s.Members(&p); err != nil {
		return ocm.Content{}, err
	}
	return ocm.Content{Root: ociv1.Descriptor{MediaType: p.MediaType, Size: -1}, From: decompressed{c}}, nil
}

type decompressed struct{ from ocm.Content }

// Fetch implements [ocm.Fetcher].
func (d decompressed) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := blob.OpenContent(ctx, d.from)
	if err != nil {
		return nil, err
	}
	r, gz, err := blob.Gunzip(rc)
	if err == nil && !gz {
		if _, err = r.Read(make([]byte, 1)); err == nil || err == io.EOF { // else it could not be read at all
			err = fmt.Errorf("the content is not compressed with gzip: %w", ocm.ErrInvalid)
		}
	}
	if err != nil {
		rc.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, rc}, nil
}
