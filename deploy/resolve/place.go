// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"ocm"
	"ocm/oci/remote"
	"ocm/session"
	"ocm/web"
)

// MaxRepository bounds the specification of a repository, in bytes.
const MaxRepository = 64 << 10

// Place is a repository as seen with a configuration.
type Place struct {
	Repository ocm.Spec
	Config     *Config
}

// Key is equal for equal places.
func (p Place) Key() string { return keyOf(canonical(p.Repository), p.Config.Digest()) }

// keyOf is a key for values that JSON can show.
func keyOf(values ...any) string {
	raw, err := json.Marshal(values)
	if err != nil {
		raw = fmt.Appendf(nil, "%q", values)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// canonical is a specification in the one form that all spellings have in common.
func canonical(s ocm.Spec) string {
	raw := s.Raw.Clone()
	if raw.Canonicalize() != nil {
		return string(s.Raw)
	}
	return string(raw)
}

// location are the members of repositories that say where they are.
type location struct {
	BaseURL  string `json:"baseUrl"`
	SubPath  string `json:"subPath"`
	FilePath string `json:"filePath"`
}

// host is that of a registry, with its port.
func (l location) host() string {
	_, rest, ok := strings.Cut(l.BaseURL, "://")
	if !ok {
		rest = l.BaseURL
	}
	host, _, _ := strings.Cut(rest, "/")
	return strings.ToLower(host[strings.LastIndexByte(host, '@')+1:])
}

// Lane names the host, or the archive, that answers for the place.
func (p Place) Lane() string {
	var l location
	if p.Repository.Decode(&l) != nil || l.BaseURL+l.FilePath == "" {
		return p.Repository.Type
	}
	if l.BaseURL != "" {
		return l.host()
	}
	return filepath.Clean(l.FilePath)
}

// allow says which repositories are opened: registries, and archives below the folder for them. It returns the specification with
// the path that an archive has without links.
func (r *Resolver) allow(s ocm.Spec) (ocm.Spec, error) {
	var l location
	switch is := func(typ string) bool { return r.o.Kit.Repositories.Same(s.Type, typ) }; {
	case len(s.Raw) > MaxRepository:
		return s, fmt.Errorf("repository: %d bytes, accepted are %d: %w", len(s.Raw), MaxRepository, ocm.ErrLimit)
	case is(ocm.OCIRepositoryType):
		if err := s.Decode(&l); err != nil {
			return s, fmt.Errorf("repository: %w", err)
		}
		if err := web.CheckHost((&url.URL{Host: l.host()}).Hostname()); err != nil {
			return s, fmt.Errorf("repository: baseUrl: %w", err)
		}
		return s, nil
	case (is(ocm.CTFType) || is(ocm.ComponentArchiveType)) && r.o.Archives != "":
		if err := s.Decode(&l); err != nil {
			return s, fmt.Errorf("repository: %w", err)
		}
		path, err := below(r.o.Archives, l.FilePath)
		if err != nil {
			return s, fmt.Errorf("repository: filePath: %w", err)
		}
		return replaced(s, path)
	case is(ocm.CTFType), is(ocm.ComponentArchiveType), is(ocm.MemoryType):
		return s, fmt.Errorf("repository: type %s: it is a place of this program, expected a registry (%s): %w", s.Type, ocm.OCIRepositoryType, ocm.ErrInvalid)
	}
	_, err := r.o.Kit.Repositories.For(s.Type)
	if err == nil {
		err = errors.ErrUnsupported
	}
	return s, fmt.Errorf("repository: type %.80q: %w: %w", s.Type, err, ocm.ErrInvalid)
}

// below is the path of an archive, which may be missing, without links. [ocm.ErrInvalid] if it leaves the folder.
func below(folder, path string) (string, error) {
	if path == "" || path == "-" {
		return "", fmt.Errorf("%q: expected a path below the folder for archives: %w", path, ocm.ErrInvalid)
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return "", fmt.Errorf("the folder for archives: %v: %w", err, ocm.ErrNotFound)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	at, err := existing(filepath.Clean(path), 0)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(real, at)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%q is not below the folder for archives: %w", path, ocm.ErrInvalid)
	}
	return at, nil
}

// existing resolves the links in as much of a path as there is.
func existing(path string, depth int) (string, error) {
	const deepest = 64
	at, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || depth == deepest || filepath.Dir(path) == path {
		if err != nil {
			err = fmt.Errorf("%q cannot be read: %w", path, ocm.ErrInvalid)
		}
		return at, err
	}
	dir, err := existing(filepath.Dir(path), depth+1)
	return filepath.Join(dir, filepath.Base(path)), err
}

// replaced is a specification with another path.
func replaced(s ocm.Spec, path string) (ocm.Spec, error) {
	members := map[string]any{}
	if err := s.Decode(&members); err != nil {
		return s, err
	}
	members["filePath"] = path
	return ocm.NewSpec(members)
}

// checkResolvers refuses a configuration whose resolvers lead to what is not allowed.
func (r *Resolver) checkResolvers(s *session.Session) error {
	if s.Resolvers == nil {
		return nil
	}
	for i, one := range s.Resolvers.List {
		if _, err := r.allow(one.Repository); err != nil {
			return fmt.Errorf("configuration: resolvers[%d]: %w", i, err)
		}
	}
	return nil
}

// Ping makes sure that a place answers. [ocm.ErrInvalid] if it is specified wrongly, [ocm.ErrDenied] if it knows us not. An archive that is
// not there yet answers, too: it may be the target of a copy.
func (r *Resolver) Ping(ctx context.Context, p Place) error {
	s, err := r.session(p.Config)
	if err != nil {
		return err
	}
	s = s.Share(ocm.NewJob(1))
	if _, err := s.Open(ctx, p.Repository); err != nil {
		return err
	}
	if !r.o.Kit.Repositories.Same(p.Repository.Type, ocm.OCIRepositoryType) {
		return nil
	}
	var l location
	if err := p.Repository.Decode(&l); err != nil {
		return err
	}
	store, err := remote.Open(s.Env, l.BaseURL, l.SubPath, remote.Options{})
	if err != nil {
		return err
	}
	return store.Ping(ctx)
}
