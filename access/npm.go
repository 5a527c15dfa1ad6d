// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync" // what registries tell for old packages, beside better ones

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/web"
)

const (
	maxNPMVersion = 4 << 20  // bytes of the document of a version
	maxNPMPackage = 64 << 20 // bytes of the document of a package with all versions, which is read as a stream

	mediaTypeTgz = "application/x-tgz"
)

// The older tool's configurations call a registry by the second name.
var npmConsumers = []string{"NpmRegistry", "Registry.npmjs.com"}

var (
	npmName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]{0,213}$`)
	})
	npmVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,255}$`) })
	npmExact   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+`) })
)

// NPM is a package in an npm registry.
var NPM = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "npm", "NPM"),
		About:     "A package in an npm registry: its archive as it was published.",
		Fields:    ocm.FieldsOf(npmSpec{}),
		Pins:      "tag to version",
		Consumers: []string{"NpmRegistry"},
		Notes: []string{
			"The checksums that the registry tells, integrity and shasum, are compared.",
			"A tag such as latest is pinned to the version that it leads to.",
			"Credentials are those of a consumer of type NpmRegistry (token, or username and password). An archive that the registry keeps on another host is fetched without them.",
		},
	},
	Opener: ocm.OpenerFunc(openNPM),
}

type npmSpec struct {
	Type     string      `json:"type"`
	Registry string      `json:"registry" need:"yes" about:"address of the registry, https://host[:port][/path]"`
	Package  string      `json:"package" need:"yes" about:"name of the package, with its scope: [@scope/]name"`
	Version  string      `json:"version" need:"yes" about:"version of the package, or a tag such as latest"`
	Rest     ocm.RawJSON `json:",embed"`
}

// npmDocument is what a registry tells about a version.
type npmDocument struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    struct {
		Tarball   string `json:"tarball"`
		Integrity string `json:"integrity"`
		Shasum    string `json:"shasum"`
	} `json:"dist"`
}

func openNPM(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var a npmSpec
	if err := s.Members(&a); err != nil {
		return ocm.Content{}, err
	}
	registry, err := baseURL(s, "registry", a.Registry)
	switch {
	case err != nil:
		return ocm.Content{}, err
	case !npmName().MatchString(a.Package):
		return ocm.Content{}, fmt.Errorf("type %s: package %.200q: expected [@scope/]name: %w", s.Type, a.Package, ocm.ErrInvalid)
	case !npmVersion().MatchString(a.Version):
		return ocm.Content{}, fmt.Errorf("type %s: version %.200q: expected a version or a tag: %w", s.Type, a.Version, ocm.ErrInvalid)
	}
	// as a segment of the path: the slash of a scope is escaped
	name := *registry
	name.Path, name.RawPath = registry.Path+"/"+a.Package, registry.EscapedPath()+"/"+awsEscape(a.Package, "@")
	client, err := clientFor(ctx, env, npmConsumers, &name, registry)
	if err != nil {
		return ocm.Content{}, err
	}
	doc, err := npmDescribe(ctx, client, &name, a.Version)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("npm package %s@%s: %w", a.Package, a.Version, err)
	}
	if doc.Name != a.Package || doc.Version != a.Version && (npmExact().MatchString(a.Version) || !npmExact().MatchString(doc.Version) || !npmVersion().MatchString(doc.Version)) {
		return ocm.Content{}, fmt.Errorf("npm package %s@%s: the registry tells about %.200q@%.200q: %w", a.Package, a.Version, doc.Name, doc.Version, ocm.ErrInvalid)
	}
	c, err := npmArchive(client, registry, doc)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("npm package %s@%s: %w", a.Package, a.Version, err)
	}
	if doc.Version != a.Version {
		a.Version = doc.Version
		pinned, err := ocm.NewSpec(a)
		if err != nil {
			return ocm.Content{}, err
		}
		c.Pinned = &pinned
	}
	return c, nil
}

// npmDescribe asks for the document of a version; a registry that has none, for that of the package.
func npmDescribe(ctx context.Context, client *web.Client, name *url.URL, version string) (doc npmDocument, err error) {
	at := *name
	at.Path, at.RawPath = name.Path+"/"+version, name.EscapedPath()+"/"+awsEscape(version, "")
	raw, err := client.Read(ctx, web.Request{URL: &at, Header: http.Header{"Accept": {"application/json"}}}, maxNPMVersion)
	if errors.Is(err, ocm.ErrNotFound) && npmExact().MatchString(version) {
		raw, err = npmVersionOf(ctx, client, name, version)
	}
	if err != nil {
		return doc, err
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc, fmt.Errorf("the registry's document: %v: %w", err, ocm.ErrInvalid)
	}
	return doc, nil
}

func npmVersionOf(ctx context.Context, client *web.Client, name *url.URL, version string) ([]byte, error) {
	// the short form, where a registry has it
	resp, err := client.Do(ctx, web.Request{URL: name, Header: http.Header{"Accept": {"application/vnd.npm.install-v1+json, application/json;q=0.8"}}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return npmFind(resp.Body, version)
}

// npmFind reads the document of a package as far as the version.
func npmFind(r io.Reader, version string) ([]byte, error) {
	limited := &io.LimitedReader{R: r, N: maxNPMPackage}
	dec := jsontext.NewDecoder(limited)
	raw, err := npmMember(dec, "versions", func() ([]byte, error) {
		return npmMember(dec, version, func() ([]byte, error) {
			limited.N = min(limited.N, maxNPMVersion) // this is held in memory
			return dec.ReadValue()
		})
	})
	switch {
	case limited.N == 0:
		return nil, fmt.Errorf("the registry's document has more than the accepted %d bytes of a package, %d of a version: %w", maxNPMPackage, maxNPMVersion, ocm.ErrLimit)
	case errors.Is(err, ocm.ErrNotFound):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("the registry's document of the package: %v: %w", err, ocm.ErrInvalid)
	}
	return raw, nil
}

// npmMember goes to a member of an object and reads its value.
func npmMember(dec *jsontext.Decoder, name string, value func() ([]byte, error)) ([]byte, error) {
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, errors.Join(errors.New("expected an object"), err)
	}
	for {
		tok, err := dec.ReadToken()
		switch {
		case err != nil:
			return nil, err
		case tok.Kind() == '}':
			return nil, fmt.Errorf("there is no %s: %w", name, ocm.ErrNotFound)
		case tok.String() == name:
			return value()
		}
		if err := npmSkip(dec); err != nil {
			return nil, err
		}
	}
}

// npmSkip passes over a value without holding it: there may be thousands of versions in it.
func npmSkip(dec *jsontext.Decoder) error {
	for depth := dec.StackDepth(); ; {
		if _, err := dec.ReadToken(); err != nil || dec.StackDepth() <= depth {
			return err
		}
	}
}

// npmArchive is the archive that a document leads to.
func npmArchive(client *web.Client, registry *url.URL, doc npmDocument) (ocm.Content, error) {
	at, err := url.Parse(doc.Dist.Tarball)
	if err != nil || at.Hostname() == "" || at.Scheme != "https" && at.Scheme != "http" {
		return ocm.Content{}, fmt.Errorf("the registry does not tell where the archive is: %w", ocm.ErrInvalid)
	}
	if registry.Scheme == "https" && at.Scheme == "http" && strings.EqualFold(at.Hostname(), registry.Hostname()) {
		at.Scheme, at.Host = "https", registry.Host // it does not know of the encryption before it
	}
	if registry.Scheme == "https" && at.Scheme == "http" {
		return ocm.Content{}, fmt.Errorf("archive: %s leads from https to http://%s, which is not followed: %w", registry.Host, at.Host, ocm.ErrDenied)
	}
	if err := web.CheckAddress(registry, at); err != nil {
		return ocm.Content{}, fmt.Errorf("archive: %w", err)
	}
	// the client has credentials for the registry's own host alone
	sums, err := npmSums(doc.Dist.Integrity, doc.Dist.Shasum)
	if err != nil {
		return ocm.Content{}, err
	}
	root := ociv1.Descriptor{MediaType: mediaTypeTgz, Size: -1}
	for _, s := range sums {
		if s.name == "sha256" && len(s.want) == 1 {
			root.Digest = digest.NewDigestFromBytes(digest.SHA256, s.want[0])
		}
	}
	return compared(client.Content(web.Request{URL: at, Header: http.Header{"Accept-Encoding": {"identity"}}}, root), sums...), nil
}

// npmHashes are the algorithms of integrity, strongest first.
var npmHashes = []struct {
	name string
	hash func() hash.Hash
}{{"sha512", sha512.New}, {"sha384", sha512.New384}, {"sha256", sha256.New}, {"sha1", sha1.New}}

// npmSums reads integrity, in the form of the W3C's "Subresource Integrity", of which the strongest
// algorithm counts, and shasum, a SHA-1 in hexadecimal.
func npmSums(integrity, shasum string) (sums []sum, err error) {
	for _, h := range npmHashes {
		var want [][]byte
		for _, part := range strings.Fields(integrity) {
			value, ok := strings.CutPrefix(part, h.name+"-")
			if !ok {
				continue
			}
			value, _, _ = strings.Cut(value, "?")
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil || len(raw) != h.hash().Size() {
				return nil, fmt.Errorf("the registry tells a malformed integrity %.200q: %w", part, ocm.ErrInvalid)
			}
			want = append(want, raw)
		}
		if want != nil {
			sums = append(sums, sum{h.name, h.hash, want})
			break
		}
	}
	if sums == nil && strings.TrimSpace(integrity) != "" { // the weaker shasum is no answer to that
		return nil, fmt.Errorf("the registry tells an integrity of unknown algorithms, %.200q: expected sha512, sha384, sha256 or sha1: %w", integrity, ocm.ErrInvalid)
	}
	if shasum != "" {
		raw, err := hex.DecodeString(shasum)
		if err != nil || len(raw) != sha1.Size {
			return nil, fmt.Errorf("the registry tells a malformed shasum %.200q: %w", shasum, ocm.ErrInvalid)
		}
		sums = append(sums, sum{"sha1", sha1.New, [][]byte{raw}})
	}
	if sums == nil {
		return nil, fmt.Errorf("the registry tells no checksum of the archive, expected integrity or shasum: %w", ocm.ErrInvalid)
	}
	return sums, nil
}
