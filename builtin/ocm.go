// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"ocm"
	"ocm/access"
	"ocm/graph"
	"ocm/web"
)

// registerOCM adds the access and the input that lead to a resource of another component version: they open
// repositories and accesses of all types that the kit has.
func registerOCM(k *ocm.Kit) {
	content := func(ctx context.Context, env *ocm.Env, v ocm.Version, r *ocm.Resource) (ocm.Content, error) {
		return graph.ResourceContent(ctx, k, env, v, r)
	}
	m := access.OCM(access.Components{Content: content, Repository: func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
		return openForeign(ctx, k, env, s)
	}})
	k.Access.Register(m.Opener, m.Type) // not the Method: that hides OpenFrom
	m = ocm.Strict(access.OCM(access.Components{Content: content, Repository: func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
		return openBeside(ctx, k, env, s)
	}}))
	k.Inputs.Register(m, m.Type)
}

// openForeign opens a repository that a descriptor names. Descriptors come from elsewhere: they do not open
// what lies on this computer, and do not get over plain http what is configured for https.
func openForeign(ctx context.Context, k *ocm.Kit, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	if !k.Repositories.Same(s.Type, ocm.OCIRepositoryType) {
		return nil, fmt.Errorf("type %q: a descriptor may name a registry (%s) only, not what lies on this computer: %w", s.Type, ocm.OCIRepositoryType, ocm.ErrDenied)
	}
	var r struct {
		BaseURL string `json:"baseUrl"`
	}
	if err := s.Decode(&r); err != nil {
		return nil, err
	}
	scheme, rest, ok := strings.Cut(r.BaseURL, "://")
	if !ok {
		scheme, rest = "", r.BaseURL
	}
	host, _, _ := strings.Cut(rest, "/")
	if err := web.CheckHost((&url.URL{Host: host}).Hostname()); err != nil {
		return nil, fmt.Errorf("baseUrl: %w", err)
	}
	env = web.WithoutDowngrade(env, strings.ToLower(scheme), host)
	return OpenRepository(ctx, k, env, s)
}

// openBeside opens a repository that a constructor names. A local one lies below the constructor's folder,
// like all that inputs read.
func openBeside(ctx context.Context, k *ocm.Kit, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	for _, elsewhere := range []string{ocm.OCIRepositoryType, ocm.MemoryType} {
		if k.Repositories.Same(s.Type, elsewhere) {
			return OpenRepository(ctx, k, env, s)
		}
	}
	var c struct {
		FilePath string `json:"filePath"`
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	dir := ""
	if env != nil {
		dir = env.Dir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.FromSlash(c.FilePath)
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	leaves := fmt.Errorf("filePath %q leaves the folder %s, which inputs are confined to: %w", c.FilePath, dir, ocm.ErrInvalid)
	if !within(dir, path) {
		return nil, leaves
	}
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("filePath %q: %v: %w", c.FilePath, err, ocm.ErrNotFound)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	if !within(dir, at) { // by a link
		return nil, leaves
	}
	s, err = ocm.NewSpec(map[string]string{"type": s.Type, "filePath": at})
	if err != nil {
		return nil, err
	}
	return OpenRepository(ctx, k, env, s)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
