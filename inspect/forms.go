// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/graph"
)

// Forms that a download gives to content.
const (
	// FormAuto is what people expect: a chart as its .tgz, other OCI artifacts as a directory in OCI layout,
	// archives unpacked into a directory, compressed files decompressed, everything else as it is.
	FormAuto = "auto"
	// FormBlob is the bytes as they are; an OCI artifact as one archive in OCI layout.
	FormBlob = "blob"
	// FormLayout is an OCI artifact in OCI layout: a directory, or one archive where the name ends in .tar.
	FormLayout = "oci-layout"
	// FormDocker is one image as an archive that "docker load" reads.
	FormDocker = "docker"
	// FormChart is a chart as its .tgz, with the .prov beside it if there is one.
	FormChart = "chart"
)

// Forms lists the forms, FormAuto first.
func Forms() []string { return []string{FormAuto, FormBlob, FormLayout, FormDocker, FormChart} }

// fetched is content that lies in a file and was compared with its digest.
type fetched struct {
	resource  *ocm.Resource
	source    ocm.Content // where it was fetched from
	raw       *os.File
	mediaType string
	path      string
	options   DownloadOptions
}

// write gives the content its form and name.
func (f *fetched) write(ctx context.Context) ([]string, error) {
	switch f.options.Form {
	case FormAuto, "":
		if is, err := f.isChart(ctx); err != nil {
			return nil, err
		} else if is {
			return f.chart(ctx)
		}
		return []string{f.path}, extract(ctx, f.raw, f.mediaType, f.path, mode(f.resource))
	case FormBlob:
		return []string{f.path}, publish(f.raw, f.path, mode(f.resource))
	case FormLayout:
		return []string{f.path}, f.layout(ctx)
	case FormDocker:
		return []string{f.path}, f.docker(ctx)
	case FormChart:
		return f.chart(ctx)
	}
	return nil, fmt.Errorf("form %.40q: expected one of %q: %w", f.options.Form, Forms(), ocm.ErrInvalid)
}

// transform puts what a transformer makes of the content in its place. drop removes that, unless it got a name.
func (f *fetched) transform(ctx context.Context, kit *ocm.Kit, env *ocm.Env) (drop func(), err error) {
	c, err := f.content(ctx)
	if err != nil {
		return nil, err
	}
	if p, ok := f.source.From.(chart.Provider); ok { // which the file is not
		c.From = struct {
			ocm.Fetcher
			chart.Provider
		}{c.From, p}
	}
	made, err := graph.Transform(ctx, kit, env, c, *f.options.Transformer)
	if err != nil {
		return nil, err
	}
	out, drop, err := tempBeside(f.path)
	if err != nil {
		return nil, err
	}
	f.raw, f.source = out, made
	if f.mediaType, err = store(ctx, made, f.resource.Version, out); err != nil {
		drop()
	}
	return drop, err
}

// content is what lies in the file; an OCI layout as the artifact that it holds.
func (f *fetched) content(ctx context.Context) (ocm.Content, error) {
	c, err := blob.File(f.raw.Name(), f.mediaType)
	if err == nil && blob.IsLayout(f.mediaType) {
		c, err = blob.Layout(ctx, c)
	}
	return c, err
}

// artifact is content for forms that only OCI artifacts can have.
func (f *fetched) artifact(ctx context.Context) (ocm.Content, error) {
	if !blob.IsLayout(f.mediaType) {
		return ocm.Content{}, fmt.Errorf("resource %s: the form %s is one of OCI artifacts, the content has the media type %q: %w", f.resource.Element.String(), f.options.Form, f.mediaType, ocm.ErrInvalid)
	}
	return f.content(ctx)
}

func (f *fetched) layout(ctx context.Context) error {
	c, err := f.artifact(ctx)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(f.path, ".tar") {
		return extract(ctx, f.raw, f.mediaType, f.path, 0)
	}
	return f.toFile(func(w io.Writer) error { return blob.WriteLayout(ctx, w, c, f.resource.Version) }, f.path)
}

func (f *fetched) docker(ctx context.Context) error {
	c, err := f.artifact(ctx)
	if err != nil {
		return err
	}
	want := blob.Platform{OS: "linux", Architecture: runtime.GOARCH}
	if f.options.Platform != nil {
		want = *f.options.Platform
	}
	image, err := imageFor(ctx, c, want)
	if err != nil {
		return fmt.Errorf("resource %s: %w", f.resource.Element.String(), err)
	}
	return f.toFile(func(w io.Writer) error { return writeDocker(ctx, w, c.From, image, imageName(f.resource)) }, f.path)
}

// toFile writes a file that gets its name when it is complete.
func (f *fetched) toFile(write func(io.Writer) error, path string) error {
	out, drop, err := staged(write, path)
	if err != nil {
		return err
	}
	defer drop()
	return publish(out, path, 0o644)
}

// staged writes a file in the folder of path, that can get its name. drop removes what has not.
func staged(write func(io.Writer) error, path string) (out *os.File, drop func(), err error) {
	out, drop, err = tempBeside(path)
	if err != nil {
		return nil, nil, err
	}
	if err = write(out); err != nil {
		drop()
	}
	return out, drop, err
}

// isChart reports whether the content is a chart: by its media type, or by the resource's type for an archive
// that could be any.
func (f *fetched) isChart(ctx context.Context) (bool, error) {
	isLayout := blob.IsLayout(f.mediaType)
	if !isLayout && f.mediaType != chart.MediaTypeContent && (f.resource.Type != "helmChart" || !isGzip(f.mediaType)) {
		return false, nil
	}
	c, err := f.content(ctx)
	if err != nil || isLayout && blob.IsIndex(c.Root.MediaType) {
		return false, err
	}
	if !isLayout {
		_, _, _, err := Chart(ctx, c)
		if errors.Is(err, ocm.ErrInvalid) {
			return false, nil // it is only called a chart
		}
		return err == nil, err
	}
	m, err := manifestOf(ctx, c.From, c.Root)
	return m.Config.MediaType == chart.MediaTypeConfig, err
}

// chart writes the archive of a chart, and its provenance file.
func (f *fetched) chart(ctx context.Context) ([]string, error) {
	c, err := f.content(ctx)
	if err != nil {
		return nil, err
	}
	archive, provenance, name, err := Chart(ctx, c)
	if err == nil && provenance == nil {
		provenance, err = provenanceAt(ctx, f.source, archive)
	}
	if err != nil {
		return nil, fmt.Errorf("resource %s: %w", f.resource.Element.String(), err)
	}
	path, beside := f.path, f.path+".prov"
	if own := f.options.Own; own != nil {
		path = filepath.Join(filepath.Dir(f.path), own(SafeName(name)))
		if provenance != nil { // another resource may have this name
			beside = filepath.Join(filepath.Dir(path), own(filepath.Base(path)+".prov"))
		}
	}
	out, drop, err := staged(copyOf(ctx, archive), path)
	if err != nil {
		return nil, err
	}
	defer drop()
	if provenance == nil {
		return []string{path}, publish(out, path, 0o644)
	}
	if err := f.toFile(copyOf(ctx, *provenance), beside); err != nil { // first: a chart that is there has its provenance
		return nil, err
	}
	if err := publish(out, path, 0o644); err != nil {
		return nil, errors.Join(err, os.Remove(beside))
	}
	return []string{path, beside}, nil
}

// provenanceAt is the provenance file beside a chart in a chart repository; nil if there is none. No digest covers it, but
// it must be about this archive.
func provenanceAt(ctx context.Context, c, archive ocm.Content) (*ocm.Content, error) {
	raw, err := chart.ProvenanceOf(ctx, c)
	if raw == nil {
		return nil, err
	}
	sum := digest.SHA256.Digester()
	if err := copyOf(ctx, archive)(sum.Hash()); err != nil {
		return nil, err
	}
	if err := chart.CheckProvenance(raw, sum.Digest()); err != nil {
		return nil, fmt.Errorf("%w (the form %q is the archive alone)", err, FormBlob)
	}
	p := blob.Bytes(chart.MediaTypeProvenance, raw)
	return &p, nil
}

func copyOf(ctx context.Context, c ocm.Content) func(io.Writer) error {
	return func(w io.Writer) error {
		r, err := blob.OpenContent(ctx, c)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
		return err
	}
}

// manifestOf reads an image manifest; the zero value for an index.
func manifestOf(ctx context.Context, from ocm.Fetcher, d ociv1.Descriptor) (m ociv1.Manifest, err error) {
	raw, err := blob.ReadAll(ctx, from, d, blob.MaxManifest)
	if err != nil {
		return m, err
	}
	if _, err := blob.Children(d, raw); err != nil { // refuses what is manifest and index at once
		return m, err
	}
	if err := jsonv2.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("manifest %s: %v: %w", d.Digest, err, ocm.ErrInvalid)
	}
	return m, nil
}
