// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/oci"
	"ocm/web"
)

// Options of a connection. The zero value is right for every usual registry.
type Options struct {
	// PlainHTTP speaks http where the address has no scheme. It is implied by the scheme
	// http and, without a scheme, by a loopback host; an address with https stays with https.
	PlainHTTP bool
	// TokenHosts are further hosts that credentials may be sent to when the registry names
	// them as its token service: host names, without port.
	TokenHosts []string

	pace *pace // tests only
}

// Store is a registry, or the part of it below a path. It implements [oci.Store].
type Store struct {
	session *session
	prefix  string // repository path in front of every name, may be empty

	mu    sync.Mutex
	repos map[string]*repo
}

// Open prepares access to the repositories below a base URL: [http|https|oci]://host[:port][/path]
// or the same without scheme. A path in the URL and subPath are joined. Nothing is sent yet.
// [ocm.ErrInvalid] for an address that is none, and for one with a user name or password.
func Open(env *ocm.Env, baseURL, subPath string, o Options) (*Store, error) {
	if len(baseURL)+len(subPath) > MaxReference {
		return nil, fmt.Errorf("base URL: more than %d characters: %w", MaxReference, ocm.ErrLimit)
	}
	scheme, rest, err := cutScheme(baseURL)
	if err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	if strings.ContainsAny(rest, "@?#") {
		// The text is not repeated: it may hold a password.
		return nil, fmt.Errorf("base URL: expected [scheme://]host[:port][/path] without user, query or fragment: %w", ocm.ErrInvalid)
	}
	host, path, _ := strings.Cut(rest, "/")
	prefix := strings.Trim(path, "/")
	if sub := strings.Trim(subPath, "/"); prefix == "" || sub == "" {
		prefix += sub
	} else {
		prefix += "/" + sub
	}
	if prefix != "" {
		if err := checkRepository(prefix); err != nil {
			return nil, fmt.Errorf("base URL %s, path: %w", baseURL, err)
		}
	}
	if host, err = checkHost(host); err != nil {
		return nil, fmt.Errorf("base URL: %w", err)
	}
	return newStore(env, scheme, host, prefix, prefix, o), nil
}

// OpenRepository gives access to the one repository of a reference; tag and digest are ignored.
// Credentials are looked up by the host alone. The result is also an [oci.Placer], an
// [oci.ManifestReader] and an [oci.ReferrerLister].
func OpenRepository(env *ocm.Env, ref Reference, o Options) (oci.Repo, error) {
	host, err := checkHost(ref.Host)
	if err != nil {
		return nil, fmt.Errorf("reference %s: %w", ref, err)
	}
	if err := checkRepository(ref.Repository); err != nil {
		return nil, fmt.Errorf("reference %s: %w", ref, err)
	}
	return newStore(env, ref.Scheme, host, "", "", o).Repo(ref.Repository), nil
}

// OpenArtifact finds the artifact of an image reference, see [ParseReference], and pins it: the
// content is read by the digest that was found. With a digest in the reference the tag has no
// say; with neither the tag is "latest". [ocm.ErrNotFound] if it is not there.
//
// References come from descriptors. To one with the scheme http only such credentials are sent
// that are configured for http and not for https ([ocm.ErrDenied]), unless it is this computer.
func OpenArtifact(ctx context.Context, env *ocm.Env, imageReference string) (ocm.Content, error) {
	ref, err := ParseReference(imageReference)
	if err != nil {
		return ocm.Content{}, err
	}
	r, err := openDescribed(env, ref)
	if err != nil {
		return ocm.Content{}, err
	}
	what := ref.Digest.String()
	if what == "" {
		what = ref.Tag
	}
	if what == "" {
		what = "latest"
	}
	root, err := r.Resolve(ctx, what)
	if err != nil {
		return ocm.Content{}, err
	}
	return ocm.Content{Root: root, From: r, Origin: r.Origin()}, nil
}

// openDescribed is [OpenRepository] for a reference that stands in a descriptor, or in another text that comes from
// elsewhere. Link-local addresses are [ocm.ErrDenied].
func openDescribed(env *ocm.Env, ref Reference) (oci.Repo, error) {
	name, _ := splitPort(ref.Host)
	if err := web.CheckHost(name); err != nil {
		return nil, fmt.Errorf("reference %s: %w", ref, err)
	}
	return OpenRepository(web.WithoutDowngrade(env, ref.Scheme, ref.Host), ref, Options{})
}

// newStore wires the layers: oras-go's requests → session (credentials, refusals) → redirects →
// retries and watch over progress → the environment's transport.
func newStore(env *ocm.Env, scheme, host, prefix, idPath string, o Options) *Store {
	if env == nil {
		env = &ocm.Env{}
	}
	plain := scheme == "http" || scheme == "" && (o.PlainHTTP || isLoopback(host))
	s := &session{
		env: env, name: host, origin: &url.URL{Scheme: "https", Host: host},
		id: consumer(scheme, host, idPath), tokenHosts: o.TokenHosts, tokens: auth.NewCache(),
	}
	if plain {
		s.origin.Scheme = "http"
	}
	if host == dockerHub {
		s.origin.Host = "registry-1.docker.io" // docker.io itself is no registry
	}
	if s.pace = (pace{web.PaceFor(env, s.origin.Host), wholeTime}); o.pace != nil {
		s.pace = *o.pace
	}
	s.peer = &web.Peer{Env: env, Base: web.TransportOf(env), Pace: s.pace.Pace, Free: isDownload}
	s.pending.folder = env.Cache
	s.http = &http.Client{Transport: s.peer, CheckRedirect: checkRedirect}
	return &Store{session: s, prefix: prefix, repos: map[string]*repo{}}
}

// pace holds the times; tests make them shorter.
type pace struct {
	web.Pace
	whole time.Duration // see wholeTime
}

// isDownload tells requests for blobs: an upload that has a place among those that the registry allows at
// once may wait for one.
func isDownload(req *http.Request) bool {
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
}

// checkRedirect is [web.CheckRedirect], but for listings that must not leave the registry.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if via[0].Context().Value(stayHere{}) != nil && !web.SameOrigin(via[0].URL, req.URL) {
		return http.ErrUseLastResponse // the redirect itself is the answer
	}
	return web.CheckRedirect(req, via)
}

// consumer is the identity that credentials are looked up by.
func consumer(scheme, host, path string) ocm.Identity {
	name, port := splitPort(host)
	id := ocm.Identity{"type": "OCIRegistry", "hostname": strings.Trim(name, "[]")}
	if port != "" {
		id["port"] = port
	}
	switch scheme {
	case "oci":
		id["scheme"] = "https"
	case "http", "https":
		id["scheme"] = scheme
	}
	if path != "" {
		id["path"] = path
	}
	return id
}

// isLoopback tells hosts of this computer by their name, without asking anybody. host may have a port.
func isLoopback(host string) bool {
	name, _ := splitPort(host)
	return web.IsLoopback(name)
}

// Repo gives access to one repository below the store's path. A name that is no repository
// path is reported by the first method that is called. The result is also an [oci.Placer], an
// [oci.ManifestReader] and an [oci.ReferrerLister].
func (s *Store) Repo(name string) oci.Repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.repos[name]
	if !ok {
		full := name
		if s.prefix != "" {
			full = strings.TrimSuffix(s.prefix+"/"+name, "/")
		}
		r = newRepo(s.session, full)
		s.repos[name] = r
	}
	return r
}

// String is the registry with the path, with a scheme where it is http.
func (s *Store) String() string {
	at := s.session.name
	if s.session.origin.Scheme == "http" {
		at = "http://" + at
	}
	if s.prefix != "" {
		at += "/" + s.prefix
	}
	return at
}

// Close has nothing to release: connections belong to the environment's transport.
func (s *Store) Close() error { return nil }

var _ oci.Store = (*Store)(nil)
