// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ocm"
	"ocm/graph"
	"ocm/inspect"
	"ocm/plugin/host"
	"ocm/plugin/installed"
)

// origin is the component version of a plugin, as far as it was verified.
type origin struct {
	in         ocm.Repository
	version    ocm.Version
	registry   string // that led to it, name:version; empty: it was named
	signatures []installed.Signature
}

// deliver verifies a plugin and installs it.
func (s *session) deliver(ctx context.Context, r pluginRequest) (*pluginDelivered, error) {
	from, err := s.pluginOrigin(ctx, r)
	if err != nil {
		return nil, err
	}
	res, err := inspect.FindPlugin(from.version, r.typ, r.identity)
	switch {
	case errors.Is(err, ocm.ErrInvalid): // several
		return nil, withHint(usage(err), "\"ocm download plugin\" selects one of several by --extra-identity")
	case err != nil:
		return nil, err
	}
	c := &from.version.Descriptor().Component
	verified := len(from.signatures) > 0
	if r.trust != nil && (!verified || res.Digest.Empty() || res.Digest.Excluded()) {
		return nil, fmt.Errorf("%s:%s: resource %s: no signature covers its content, it has %s: %w", c.Name, c.Version, res.Element.String(), res.Digest, ocm.ErrSignature)
	}
	h := s.Plugins()
	if r.folder == "" {
		folders, err := h.Folders()
		if err != nil {
			return nil, err
		}
		r.folder = folders[0]
	}
	record := installed.Record{Component: c.Name, Version: c.Version, Repository: lasting(from.in.String()), Registry: from.registry,
		Resource: res.Identity(), Verified: verified, Signatures: from.signatures, Installed: s.env.Time().UTC().Truncate(time.Second)}
	path := filepath.Join(r.folder, c.Name[strings.LastIndexByte(c.Name, '/')+1:])
	if err := s.place(ctx, h, r, from.version, res, path, &record); err != nil {
		return nil, fmt.Errorf("plugin %s:%s: %w", c.Name, c.Version, err)
	}
	return &pluginDelivered{Name: filepath.Base(path), Version: c.Version, Source: from.in.String() + "//" + c.Name + ":" + c.Version, Type: res.Type, Identity: res.Identity(),
		Location: path, Digest: record.Digest.String(), Verified: record.Verified, Signatures: record.Signatures}, nil
}

// place fetches the program, asks it what it can do, and gives it its name.
func (s *session) place(ctx context.Context, h *host.Host, r pluginRequest, v ocm.Version, res *ocm.Resource, path string, record *installed.Record) error {
	allow := func(old *installed.Record, there bool) error {
		if r.force {
			return nil
		}
		return mayReplace(path, old, there, record)
	}
	stage, err := installed.Begin(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	defer stage.Drop()
	old, there, err := installed.Look(path) // before anything is fetched; what counts is what is there in the end
	if err == nil {
		err = allow(old, there)
	}
	if err != nil {
		return err
	}
	if _, err := inspect.Download(ctx, s.kit, s.env, v, res, stage.Path, inspect.DownloadOptions{}); err != nil {
		return fmt.Errorf("resource %s: %w", res.Element.String(), err)
	}
	if record.Digest, err = stage.Seal(); err != nil {
		return err
	}
	if !r.skipValidation {
		if _, err := h.Probe(ctx, stage.Path); err != nil {
			return withHint(err, "it was not installed; --skip-validation installs it without asking what it can do")
		}
	}
	return stage.Finish(*record, allow)
}

// mayReplace refuses to replace anything but the same plugin by the same or a newer version. Its digest is not known before it is fetched.
func mayReplace(path string, old *installed.Record, there bool, by *installed.Record) error {
	const force = "--force replaces it"
	switch {
	case old == nil && !there:
		return nil
	case old == nil:
		return withHint(fmt.Errorf("%s: a program of this name is there, and was not installed as a component: %w", path, ocm.ErrExists), force)
	case old.Component != by.Component:
		return withHint(fmt.Errorf("%s: a plugin of this name is there, of another component, %s:%s: %w", path, old.Component, old.Version, ocm.ErrExists), force)
	case old.Version == by.Version && (by.Digest == "" || by.Digest == old.Digest):
		return nil
	case old.Version == by.Version:
		return withHint(fmt.Errorf("%s: this version is there with other content: expected %s, found %s: %w", path, old.Digest, by.Digest, ocm.ErrExists), force)
	}
	older, err := inspect.IsOlder(by.Version, old.Version)
	if err != nil {
		return withHint(fmt.Errorf("%s: version %s is there, and %w", path, old.Version, err), force)
	}
	if older {
		return withHint(fmt.Errorf("%s: version %s is there, which is newer: %w", path, old.Version, ocm.ErrExists), force)
	}
	return nil
}

// pluginOrigin finds the component version of a plugin, and verifies it unless signatures are not asked for.
func (s *session) pluginOrigin(ctx context.Context, r pluginRequest) (origin, error) {
	var judges *verifiers
	var err error
	if r.trust != nil {
		if judges, err = s.judges(*r.trust); err != nil {
			return origin{}, err
		}
	}
	if r.at.Component == "" {
		return s.pluginByName(ctx, r, judges)
	}
	repo, v, err := s.openNewest(ctx, r.at)
	if err != nil {
		return origin{}, err
	}
	from := origin{in: repo, version: v}
	if judges != nil {
		g, err := s.prove(ctx, judges, r, &from, repo, v)
		if err != nil {
			return origin{}, err
		}
		from.version = g.Roots[0].Version
	}
	return from, nil
}

// prove verifies the signatures of a version and what it references. Contents are compared when they are fetched.
func (s *session) prove(ctx context.Context, judges *verifiers, r pluginRequest, to *origin, in ocm.Repository, v ocm.Version) (*graph.Graph, error) {
	find := s.Finder(in, v.Descriptor().Component.Name, nil)
	report, err := judges.judge(ctx, find, v, graph.VerifyOptions{Signatures: r.trust.signatures, NoContent: true})
	if err != nil {
		if at := nameOf(v) + ": "; !strings.HasPrefix(err.Error(), at) {
			err = fmt.Errorf("%s%w", at, err) // of a version that is referenced
		}
		return nil, err
	}
	for _, sig := range report.Signatures {
		if sig.Verdict == graph.OK {
			to.signatures = append(to.signatures, installed.Signature{Of: report.Component, Name: sig.Name, Algorithm: sig.Algorithm, Signer: sig.Signer, Time: sig.Time})
		}
	}
	return report.Graph(), nil
}

// pluginByName finds a plugin in the registries. A registry that is signed answers for its plugins; one that is not leaves that to
// the signatures of the plugin.
func (s *session) pluginByName(ctx context.Context, r pluginRequest, judges *verifiers) (origin, error) {
	all, err := s.registries(ctx, r.registries)
	if err != nil {
		return origin{}, err
	}
	entry, err := choosePlugin(all, r.name, r.version)
	if err != nil {
		return origin{}, err
	}
	from := origin{registry: entry.Registry}
	locate := s.Locator(entry.repo, entry.In.Descriptor().Component.Name, nil)
	if from.in, from.version, err = locate(ctx, entry.Component, entry.Version); err != nil {
		return origin{}, fmt.Errorf("registry %s: plugin %s: %w", entry.Registry, entry.Name, err)
	}
	signed := len(entry.In.Descriptor().Signatures) > 0
	var g *graph.Graph
	if judges != nil && signed {
		g, err = s.prove(ctx, judges, r, &from, entry.repo, entry.In)
	} else { // the digest that the registry has of the plugin is compared
		find := func(context.Context, string, string) (ocm.Version, error) { return from.version, nil }
		g, err = graph.Walk(ctx, s.env.Job, find, []ocm.Version{entry.In}, graph.Options{Recursive: true,
			Follow: func(_ context.Context, v ocm.Version) (bool, error) { return v == entry.In, nil },
			Skip:   func(ref *ocm.Reference) bool { return ref != entry.Reference }})
	}
	if err == nil && judges != nil && !signed {
		g, err = s.prove(ctx, judges, r, &from, from.in, from.version)
	}
	if err != nil {
		return origin{}, fmt.Errorf("registry %s: %w", entry.Registry, err)
	}
	for _, n := range g.Nodes {
		if n.Key() == entry.Component+":"+entry.Version {
			from.version = n.Version // what was verified is what is used
			return from, nil
		}
	}
	return origin{}, fmt.Errorf("registry %s: %s:%s is not what was verified: %w", entry.Registry, entry.Component, entry.Version, ocm.ErrSignature)
}

// openNewest opens a version; where the reference names none, the newest release, or the newest of all if there is no release.
func (s *session) openNewest(ctx context.Context, c ocm.Coordinates) (ocm.Repository, ocm.Version, error) {
	for _, constraint := range []string{"*", ""} {
		if c.Version != "" || c.Digest != "" {
			break
		}
		list, err := s.wanted(ctx, c, constraint, true, nil)
		if err != nil {
			return nil, nil, withHint(err, s.findHint(ctx, err, c))
		}
		if len(list) > 0 {
			c.Version = list[0].ref
		}
	}
	if c.Version == "" && c.Digest == "" {
		return nil, nil, notFound(c)
	}
	return s.openVersion(ctx, c)
}

// lasting is the name of a repository that is the same from every folder.
func lasting(name string) string {
	if _, err := os.Stat(name); err == nil {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
	}
	return name
}

func nameOf(v ocm.Version) string {
	c := &v.Descriptor().Component
	return c.Name + ":" + c.Version
}
