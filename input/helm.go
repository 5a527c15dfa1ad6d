// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/oci/remote"
)

// maxCertificates bounds a file of certificates, in bytes.
const maxCertificates = 1 << 20

// Helm is a chart as an OCI artifact, as helm push makes it.
var Helm = ocm.Method{
	Type: ocm.Type{
		Names:  ocm.Versioned("v1", "helm", "Helm"),
		About:  "A Helm chart, as the OCI artifact that helm push makes: of a folder or archive, or from a chart repository or registry.",
		Fields: ocm.FieldsOf(helmSpec{}),
		Notes: []string{
			"The same chart gives the same digest on every machine: there is no time in the artifact, and a folder is packed with its files in order and nothing of the file system but their content.",
			"An archive (.tgz) is taken byte for byte, with the provenance file (.prov) beside it, which must be about this archive.",
			"Of a folder, .helmignore is respected, symbolic links must not lead out of it, and the dependencies of the chart must be in its folder charts: nothing is downloaded.",
			"With helmRepository the chart comes from elsewhere: a chart's address that ends in .tgz, oci://host/path/name:tag, or the address of a repository, where path is then the chart's name and version its version (default the newest). An artifact in a registry is taken as it is.",
		},
	},
	Opener: ocm.OpenerFunc(openHelm),
}

type helmSpec struct {
	Path           string `json:"path" about:"the chart's folder or archive, relative to the folder of the constructor, which it may not leave; with helmRepository the name of a chart there"`
	HelmRepository string `json:"helmRepository" about:"address of a chart or of a repository of charts"`
	Version        string `json:"version" about:"version of a chart in a repository; else it must be the chart's own"`
	Repository     string `json:"repository" about:"name for uploads, path[:tag], below the component unless it begins with /; the tag is the chart's version"`
	CACert         string `json:"caCert" about:"certificates in PEM to trust for helmRepository"`
	CACertFile     string `json:"caCertFile" about:"a file with such certificates, relative to the folder of the constructor"`
}

func openHelm(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var h helmSpec
	if err := s.Members(&h); err != nil {
		return ocm.Content{}, err
	}
	c, meta, err := h.open(ctx, env, s)
	if err == nil {
		c.Hint, err = h.hint(meta)
	}
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: %w", s.Type, err)
	}
	return c, nil
}

func (h helmSpec) open(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, *chart.Meta, error) {
	switch {
	case h.Path == "" && h.HelmRepository == "":
		return ocm.Content{}, nil, fmt.Errorf("expected path, helmRepository or both, found none: %w", ocm.ErrInvalid)
	case h.HelmRepository == "" && (h.CACert != "" || h.CACertFile != ""):
		return ocm.Content{}, nil, fmt.Errorf("caCert and caCertFile are for helmRepository: %w", ocm.ErrInvalid)
	case h.HelmRepository != "":
		trust, err := h.trust(ctx, env, s)
		if err != nil {
			return ocm.Content{}, nil, err
		}
		return h.fetch(ctx, env, trust)
	}
	c, meta, err := h.local(ctx, env, s)
	if err == nil && h.Version != "" && h.Version != meta.Version {
		err = fmt.Errorf("version: expected that of the chart, %s, found %.80q (it may be left out): %w", meta.Version, h.Version, ocm.ErrInvalid)
	}
	return c, meta, err
}

// local is a chart in the folder of the constructor.
func (h helmSpec) local(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, *chart.Meta, error) {
	boundary, name, err := place(env, s, h.Path)
	if err != nil {
		return ocm.Content{}, nil, err
	}
	var prov []byte
	archive, err := blob.FileIn(boundary, name, chart.MediaTypeContent)
	if err == nil {
		prov, err = readBeside(ctx, boundary, name+".prov")
	} else if errors.Is(err, ocm.ErrInvalid) { // it is no file
		archive, err = chart.Dir(boundary, name)
	}
	if err != nil {
		return ocm.Content{}, nil, fmt.Errorf("%w (paths are confined to %s)", err, boundary)
	}
	c, meta, err := chart.Artifact(ctx, archive, prov)
	if err != nil && archive.Root.Size >= 0 { // errors of a folder name it
		err = fmt.Errorf("%s: %w", name, err)
	}
	return c, meta, err
}

// readBeside reads a provenance file, nil if there is none.
func readBeside(ctx context.Context, boundary, name string) ([]byte, error) {
	raw, err := readFile(ctx, boundary, name, chart.MaxProvenance)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil
	}
	return raw, err
}

func readFile(ctx context.Context, boundary, name string, limit int64) ([]byte, error) {
	c, err := blob.FileIn(boundary, name, "")
	if err != nil {
		return nil, err
	}
	rc, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	raw, err := blob.ReadDocument(rc, c.Root.Size, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return raw, nil
}

// trust are the certificates for the repository.
func (h helmSpec) trust(ctx context.Context, env *ocm.Env, s ocm.Spec) (string, error) {
	switch {
	case h.CACertFile == "":
		return h.CACert, nil
	case h.CACert != "":
		return "", fmt.Errorf("expected caCert or caCertFile, found both: %w", ocm.ErrInvalid)
	}
	boundary, name, err := place(env, s, h.CACertFile)
	if err != nil {
		return "", fmt.Errorf("caCertFile: %w", err)
	}
	raw, err := readFile(ctx, boundary, name, maxCertificates)
	if err == nil && len(raw) == 0 {
		err = fmt.Errorf("%s is empty: %w", name, ocm.ErrInvalid)
	}
	if err != nil {
		return "", fmt.Errorf("caCertFile: %w", err)
	}
	return string(raw), nil
}

// fetch is a chart from elsewhere.
func (h helmSpec) fetch(ctx context.Context, env *ocm.Env, trust string) (ocm.Content, *chart.Meta, error) {
	src := chart.Source{Repository: h.HelmRepository, Name: h.Path, Version: h.Version, CACert: trust}
	var c ocm.Content
	var err error
	switch rest, registry := strings.CutPrefix(h.HelmRepository, "oci://"); {
	case registry && h.Path == "":
		var ref remote.Reference
		if ref, err = remote.ParseReference("oci://" + rest); err != nil {
			return c, nil, fmt.Errorf("helmRepository: %w", err)
		}
		src.Repository, src.Digest = "oci://"+ref.Host+"/"+ref.Repository, ref.Digest
		if src.Version == "" {
			src.Version = strings.ReplaceAll(ref.Tag, "_", "+")
		}
		c, err = openSource(ctx, env, src)
	case h.Path == "" && !strings.HasSuffix(h.HelmRepository, ".tgz"):
		err = fmt.Errorf("helmRepository: expected the address of a chart that ends in .tgz, or path for the chart's name in the repository: %w", ocm.ErrInvalid)
	case h.Path == "":
		c, err = chart.OpenURL(ctx, env, h.HelmRepository, trust)
	default:
		c, err = openSource(ctx, env, src)
	}
	if err != nil {
		return c, nil, err
	}
	return h.artifact(ctx, c)
}

func openSource(ctx context.Context, env *ocm.Env, src chart.Source) (ocm.Content, error) {
	if !strings.HasPrefix(src.Repository, "oci://") && strings.Contains(src.Name, "/") {
		return ocm.Content{}, fmt.Errorf("path: with helmRepository it is a chart's name, found %.200q: %w", src.Name, ocm.ErrInvalid)
	}
	found, err := src.Open(ctx, env)
	return found.Content, err
}

// artifact makes an artifact of an archive that was found, or checks that one is that of a chart.
func (h helmSpec) artifact(ctx context.Context, c ocm.Content) (ocm.Content, *chart.Meta, error) {
	if !blob.IsManifest(c.Root.MediaType) {
		prov, err := chart.ProvenanceOf(ctx, c)
		if err != nil {
			return c, nil, err
		}
		c, meta, err := chart.Artifact(ctx, c, prov)
		if err == nil {
			err = h.matches(meta)
		}
		return c, meta, err
	}
	found, err := chart.Find(ctx, c)
	if err != nil {
		return c, nil, err
	}
	return c, found.Meta, h.matches(found.Meta)
}

// matches demands that a chart is the version that was asked for, if one was.
func (h helmSpec) matches(meta *chart.Meta) error {
	if h.Version == "" || meta.Is(h.Version) {
		return nil
	}
	return fmt.Errorf("version: expected %.80q, the chart is %s: %w", h.Version, meta.Version, ocm.ErrInvalid)
}

// hint is the name for uploads, whose tag is the chart's version.
func (h helmSpec) hint(meta *chart.Meta) (string, error) {
	if h.Repository == "" {
		return "", nil
	}
	name, tag := h.Repository, chart.Tag(meta.Version)
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		var given string
		if name, given = name[:at], name[at+1:]; given != tag && given != meta.Version {
			return "", fmt.Errorf("repository: expected the chart's version %s as tag, found %.200q: %w", tag, given, ocm.ErrInvalid)
		}
	}
	clean := path.Clean(name)
	if _, err := remote.ParseReference("registry.invalid/" + strings.TrimPrefix(name, "/") + ":" + tag); err != nil || clean != name {
		return "", fmt.Errorf("repository: %.200q is no path of a repository: %w", h.Repository, ocm.ErrInvalid)
	}
	return name + ":" + tag, nil
}
