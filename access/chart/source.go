// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci/remote"
	"ocm/web"
)

// Consumer is the type under which credentials of chart repositories are configured.
const Consumer = "HelmChartRepository"

// MaxVersions bounds the tags of a repository that are looked at to find a version.
const MaxVersions = 10_000

// Source says where a chart is.
type Source struct {
	Repository string // https://host/path, http://host/path or oci://host/path
	Name       string // of the chart; behind oci:// a path may be before it
	Version    string // or a range; empty: the newest
	Digest     digest.Digest
	CACert     string // certificates in PEM to trust for the repository, in place of the usual ones
}

// Found is what a source leads to.
type Found struct {
	Content ocm.Content // the archive as one blob, or the OCI artifact of oci://
	Version string
	Hint    string // path:tag that a registry has it under
}

// Open finds the chart. Of a repository with an index one document is read, the index, once per job; the archive's digest
// comes from there, if it has one. [ocm.ErrNotFound] lists what there is instead, [ocm.ErrInvalid] names the field.
func (s Source) Open(ctx context.Context, env *ocm.Env) (Found, error) {
	if env == nil {
		env = &ocm.Env{}
	}
	if rest, ok := strings.CutPrefix(s.Repository, "oci://"); ok {
		return s.openRegistry(ctx, env, rest)
	}
	if err := checkName(s.Name); err != nil {
		return Found{}, fmt.Errorf("helmChart: %w", err)
	}
	if s.Digest != "" {
		return Found{}, fmt.Errorf("helmChart: a digest is for charts in a registry (oci://): %w", ocm.ErrInvalid)
	}
	base, err := parseURL("helmRepository", s.Repository)
	if err != nil {
		return Found{}, err
	}
	if env, err = trusting(env, base.Host, s.CACert); err != nil {
		return Found{}, err
	}
	client, err := web.For(ctx, env, base, Consumer)
	if err != nil {
		return Found{}, fmt.Errorf("helmRepository: %w", err)
	}
	at := base.JoinPath("index.yaml")
	index, err := indexAt(ctx, env, client, at, s.CACert)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", at.Redacted(), err)
	}
	e, err := index.Find(s.Name, s.Version)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", at.Redacted(), err)
	}
	c, err := e.open(ctx, env, client, base)
	if err != nil {
		return Found{}, fmt.Errorf("%s: chart %s, version %s: %w", at.Redacted(), s.Name, e.Version, err)
	}
	return Found{Content: c, Version: e.Version}, nil
}

// parseURL reads the address of a repository or chart.
func parseURL(field, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%s: expected https://host/path, http://host/path or oci://host/path: %w", field, ocm.ErrInvalid) // the text may hold a password
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s: an address with user name, query or fragment on %s; credentials belong into the configuration: %w", field, u.Host, ocm.ErrInvalid)
	}
	return u, nil
}

// indexKey is the key under which a job keeps an index: what a repository has does not change within a job.
type indexKey struct{ url, trust string }

type heldIndex struct{ index *Index }

func indexAt(ctx context.Context, env *ocm.Env, client *web.Client, at *url.URL, trust string) (*Index, error) {
	key := indexKey{at.String(), trust}
	held := env.Job.Keep(key, func() any { return &heldIndex{} }).(*heldIndex) //nolint:errcheck,forcetypeassert // nothing else has this key
	err := env.Job.Once(ctx, key, func() error {
		raw, err := client.Read(ctx, web.Request{URL: at}, MaxIndex)
		if err == nil {
			held.index, err = ParseIndex(raw)
		}
		return err
	})
	return held.index, err
}

// open describes the archive of an entry. Nothing is sent for it yet, unless the index leads to a registry.
func (e Entry) open(ctx context.Context, env *ocm.Env, client *web.Client, base *url.URL) (ocm.Content, error) {
	folder := *base
	folder.Path, folder.RawPath = strings.TrimSuffix(base.Path, "/")+"/", ""
	at, err := folder.Parse(e.URL)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("its address in the index is none: %w", ocm.ErrInvalid)
	}
	if at.Scheme == "oci" {
		return e.openRegistry(ctx, env, at)
	}
	switch {
	case at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil:
		return ocm.Content{}, fmt.Errorf("its address in the index is no address of a web server: %w", ocm.ErrInvalid)
	case base.Scheme == "https" && at.Scheme == "http" && e.Digest == "":
		return ocm.Content{}, fmt.Errorf("the index leads from https to http://%s and has no digest to compare with: %w", at.Host, ocm.ErrDenied)
	}
	if err := web.CheckAddress(base, at); err != nil {
		return ocm.Content{}, fmt.Errorf("the index leads elsewhere: %w", err)
	}
	c := client.Content(web.Request{URL: at}, ociv1.Descriptor{MediaType: MediaTypeContent, Digest: e.Digest, Size: -1})
	c.From = withProvenance{c.From, client, at}
	return c, nil
}

// openRegistry is for an index that leads to a registry. What is described is the same archive.
func (e Entry) openRegistry(ctx context.Context, env *ocm.Env, at *url.URL) (ocm.Content, error) {
	c, err := remote.OpenArtifact(ctx, env, reference(at.Host+at.Path))
	if err != nil {
		return c, err
	}
	found, err := findLayer(ctx, c)
	if err != nil {
		return c, err
	}
	if layer := found.Archive.Root.Digest; e.Digest != "" && e.Digest != layer && e.Digest != c.Root.Digest {
		return c, fmt.Errorf("the index says %s, the registry has artifact %s with archive %s: %w", e.Digest, c.Root.Digest, layer, ocm.ErrDigest)
	}
	found.Archive.Root.MediaType = MediaTypeContent
	if found.Provenance != nil {
		found.Archive.From = layerProvenance{found.Archive.From, *found.Provenance}
	}
	return found.Archive, nil
}

// OpenURL describes the archive at an address of its own.
func OpenURL(ctx context.Context, env *ocm.Env, address, caCert string) (ocm.Content, error) {
	at, err := parseURL("helmRepository", address)
	if err != nil {
		return ocm.Content{}, err
	}
	if env, err = trusting(env, at.Host, caCert); err != nil {
		return ocm.Content{}, err
	}
	client, err := web.For(ctx, env, at, Consumer)
	if err != nil {
		return ocm.Content{}, err
	}
	c := client.Content(web.Request{URL: at}, ociv1.Descriptor{MediaType: MediaTypeContent, Size: -1})
	c.From = withProvenance{c.From, client, at}
	return c, nil
}

// openRegistry finds a chart in a registry; rest is what follows the scheme.
func (s Source) openRegistry(ctx context.Context, env *ocm.Env, rest string) (Found, error) {
	repository := strings.Trim(rest, "/")
	if s.Name != "" {
		repository += "/" + s.Name
	}
	ref, err := remote.ParseReference(reference(repository))
	if err == nil && (ref.Tag != "" || ref.Digest != "") {
		err = fmt.Errorf("the version belongs into helmChart or version: %w", ocm.ErrInvalid)
	}
	if err == nil {
		env, err = trusting(env, ref.Host, s.CACert)
	}
	if err != nil {
		return Found{}, fmt.Errorf("helmRepository and helmChart: %w", err)
	}
	version := s.Version
	if isRange(version) && s.Digest == "" {
		if version, err = newest(ctx, env, ref, version); err != nil {
			return Found{}, fmt.Errorf("oci://%s: %w", repository, err)
		}
	}
	if ref.Tag, ref.Digest = Tag(version), s.Digest; ref.Digest != "" {
		ref.Tag = ""
	}
	c, err := remote.OpenArtifact(ctx, env, ref.String())
	hint := ref.Repository
	if version != "" {
		hint += ":" + Tag(version)
	}
	return Found{Content: c, Version: version, Hint: hint}, err
}

// reference is an image reference without its scheme, so that this computer's registries are spoken to in plain HTTP as
// everywhere else. A host that could be taken for a repository of Docker Hub keeps the scheme.
func reference(rest string) string {
	host, _, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(host, ".:") || host == "localhost" {
		return rest
	}
	return "oci://" + rest
}

// newest finds the version that a range means by the tags of a repository.
func newest(ctx context.Context, env *ocm.Env, ref remote.Reference, want string) (string, error) {
	repo, err := remote.OpenRepository(env, ref, remote.Options{})
	if err != nil {
		return "", err
	}
	var there []string
	for tag, err := range repo.Tags(ctx) {
		if err != nil {
			return "", err
		}
		if len(there) == MaxVersions {
			return "", fmt.Errorf("more than %d tags; say which version: %w", MaxVersions, ocm.ErrLimit)
		}
		there = append(there, strings.ReplaceAll(tag, "_", "+"))
	}
	return pick(there, want)
}

// withProvenance is an archive on a web server with the provenance file that may be beside it.
type withProvenance struct {
	ocm.Fetcher
	client *web.Client
	at     *url.URL
}

// Fetch implements [ocm.Fetcher]. It bounds what comes: not every index tells a size or digest.
func (w withProvenance) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := w.Fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&bounded{rc, MaxArchive, fmt.Sprintf("than %d bytes", MaxArchive)}, rc}, nil
}

// Provenance implements [Provider].
func (w withProvenance) Provenance(ctx context.Context) ([]byte, error) {
	beside := *w.at
	beside.Path, beside.RawPath = beside.Path+".prov", ""
	raw, err := w.client.Read(ctx, web.Request{URL: &beside}, MaxProvenance)
	if err != nil {
		return nil, fmt.Errorf("provenance file: %w", err)
	}
	return raw, nil
}

// layerProvenance is an archive in a registry with its provenance file.
type layerProvenance struct {
	ocm.Fetcher
	layer ocm.Content
}

// Provenance implements [Provider].
func (l layerProvenance) Provenance(ctx context.Context) ([]byte, error) {
	return readLayer(ctx, l.layer)
}

// absent reports whether there is no provenance file. Object storage answers "denied" for what is not there.
func absent(err error) bool { return errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrDenied) }
