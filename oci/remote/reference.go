// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
)

// Limits of references, in characters.
const (
	MaxReference  = 2048 // a whole reference or base URL
	MaxRepository = 512  // a repository path; many registries stop at 255 with the host
)

const dockerHub = "docker.io"

// What the distribution specification allows in paths and tags, and DNS in host names.
var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	hostForm       = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$`)
)

// Reference names an artifact in a registry: [scheme://]host/repository[:tag][@digest].
type Reference struct {
	Scheme     string // "http", "https", "oci" or empty, as it was written
	Host       string // host[:port] in lower case; "docker.io" for Docker Hub
	Repository string
	Tag        string        // may be empty
	Digest     digest.Digest // may be empty; wins over the tag
}

// ParseReference reads an image reference. Docker's short forms are completed: "alpine" is
// docker.io/library/alpine, "grafana/loki" is docker.io/grafana/loki. Behind a scheme the first
// segment is always the host. [ocm.ErrInvalid] for everything that is no reference, among that
// references with a user name or password.
func ParseReference(s string) (Reference, error) {
	if len(s) > MaxReference {
		return Reference{}, fmt.Errorf("reference: %d characters, accepted are %d: %w", len(s), MaxReference, ocm.ErrLimit)
	}
	scheme, rest, err := cutScheme(s)
	if err != nil {
		return Reference{}, err
	}
	ref := Reference{Scheme: scheme}
	rest, sum, pinned := strings.Cut(rest, "@")
	if pinned {
		ref.Digest = digest.Digest(sum)
		if blob.CheckDigest(ref.Digest) != nil {
			// The text is not repeated: what looks like user:password@host must not reach a log.
			return Reference{}, fmt.Errorf(`reference: what follows "@" is no sha256 or sha512 digest: %w`, ocm.ErrInvalid)
		}
	}
	if slash, colon := strings.LastIndex(rest, "/"), strings.LastIndex(rest, ":"); colon > slash && (scheme == "" || slash >= 0) {
		rest, ref.Tag = rest[:colon], rest[colon+1:]
		if !tagForm.MatchString(ref.Tag) {
			return Reference{}, fmt.Errorf("reference %q: %q is no tag: %w", s, ref.Tag, ocm.ErrInvalid)
		}
	}
	if ref.Host, ref.Repository, err = splitHost(rest, scheme != ""); err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w", s, err)
	}
	return ref, nil
}

// String writes the complete form, which ParseReference reads to the same value.
func (r Reference) String() string {
	s := r.Host + "/" + r.Repository
	if r.Scheme != "" {
		s = r.Scheme + "://" + s
	}
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// splitHost takes name apart into host and repository. Without a scheme the first segment is a
// host only if it looks like one.
func splitHost(name string, hasScheme bool) (host, repository string, err error) {
	first, rest, ok := strings.Cut(name, "/")
	switch {
	case hasScheme || ok && (strings.ContainsAny(first, ".:") || strings.EqualFold(first, "localhost")):
		host, repository = first, rest
	default:
		host, repository = dockerHub, name
	}
	if host, err = checkHost(host); err != nil {
		return "", "", err
	}
	if host == dockerHub && repository != "" && !strings.Contains(repository, "/") {
		repository = "library/" + repository
	}
	return host, repository, checkRepository(repository)
}

func checkRepository(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the repository is missing: %w", ocm.ErrInvalid)
	case len(name) > MaxRepository:
		return fmt.Errorf("repository of %d characters, accepted are %d: %w", len(name), MaxRepository, ocm.ErrLimit)
	case !repositoryForm.MatchString(name):
		return fmt.Errorf("%q is no repository (lower-case letters, digits and single . _ - between them): %w", name, ocm.ErrInvalid)
	}
	return nil
}

// checkHost returns host[:port] in lower case, with Docker Hub's several names made one.
func checkHost(host string) (string, error) {
	host = strings.ToLower(host)
	name, port := splitPort(host)
	bad := fmt.Errorf("%.200q is no host or host:port: %w", host, ocm.ErrInvalid)
	if port != "" || name != host {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", bad
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(inner, "]") {
			return "", bad
		}
	} else if !hostForm.MatchString(name) {
		return "", bad
	}
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return dockerHub, nil
	}
	return host, nil
}

// splitPort cuts ":port" off; IPv6 addresses keep their brackets.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i], host[i+1:]
	}
	return host, ""
}

// cutScheme takes the scheme off; http, https and oci are known.
func cutScheme(s string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", s, nil
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "http", "https", "oci":
		return scheme, rest, nil
	}
	return "", "", fmt.Errorf("scheme %.20q: expected http, https or oci: %w", scheme, ocm.ErrInvalid)
}
