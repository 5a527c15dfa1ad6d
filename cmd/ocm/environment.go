// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/graph"
	"ocm/inspect"
	"ocm/web"
)

// configure reads the configuration files and completes the environment.
func (s *session) configure() error {
	files, must := s.app.global.config, true
	if len(files) == 0 {
		home, _ := os.UserHomeDir() // without one there is nothing to be found in it
		exe, _ := os.Executable()
		files, must = config.Lookup(s.app.getenv, home, filepath.Dir(exe)), false
		s.tellUnread(files)
	}
	var err error
	if s.config, err = config.Load(files, must, s.env.Log); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	folders, err := s.config.Filesystem()
	if err != nil {
		return err
	}
	if s.env.Dir == "" {
		s.env.Dir = folders.WorkingDirectory
	}
	if s.env.Temp == "" {
		s.env.Temp = folders.TempFolder
	}
	if s.resolvers, err = s.config.Resolvers(); err != nil {
		return err
	}
	entries, origins := s.config.CredentialFiles()
	s.secrets, err = credentials.New(entries, credentials.Options{Getenv: s.app.getenv, Log: s.env.Log, HTTP: s.env.HTTP, Files: origins})
	if err != nil {
		return err
	}
	older, err := s.config.Keys()
	if err != nil {
		return err
	}
	s.keys = &keyWatch{Credentials: credentials.Overlay(s.secrets, olderKeys(older))}
	s.env.Credentials = s.keys
	return nil
}

// connect makes the one HTTP transport of the run, by the configuration, and names the folder that
// helps to continue what was interrupted.
func (s *session) connect() error {
	settings, err := s.config.HTTP()
	if err != nil {
		return err
	}
	transport := web.NewTransport(settings)
	s.env.HTTP = transport
	s.app.atExit = append(s.app.atExit, transport.CloseIdleConnections)
	for host, o := range settings.Hosts {
		if o.InsecureSkipVerify {
			s.env.Log.Warn("certificates are not verified, as configured", "host", host)
		}
	}
	if settings.Default.InsecureSkipVerify {
		s.env.Log.Warn("certificates are not verified, as configured", "host", "every other")
	}
	if folder, err := os.UserCacheDir(); err == nil && s.env.Cache == "" {
		s.env.Cache = filepath.Join(folder, "ocm")
	}
	return nil
}

// tellUnread names configuration of the current folder that is not read: it may have come with
// what is to be verified, and would bring its own keys.
func (s *session) tellUnread(files []string) {
	cwd, err := os.Getwd()
	if err != nil {
		return
	}
	for _, f := range config.InFolder(cwd) {
		if info, err := os.Stat(f); err == nil && !info.IsDir() && !slices.Contains(files, f) {
			s.env.Log.Info("configuration of the current folder is not read; name it by --config if it is yours", "file", f)
		}
	}
}

// transferDefaults takes from the configuration what no flag says.
func (s *session) transferDefaults(r *transferRequest) error {
	d, err := s.config.Transfer()
	if err != nil {
		return err
	}
	if !r.explicit.recursive {
		r.recursive = d.Recursive
	}
	if !r.explicit.copyResources {
		r.copyResources = d.CopyMode == config.CopyAllResources
	}
	if !r.explicit.uploadAs {
		r.uploadAs = d.UploadType
	}
	return nil
}

// finder looks for referenced versions: a version of the component that was named in the
// repository that was named, others where the configuration says, then in that repository too,
// then in those that --lookup names.
func (s *session) finder(own ocm.Repository, component string, lookup []repositoryName) graph.Find {
	locate := s.locator(own, component, lookup)
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		_, v, err := locate(ctx, name, version)
		return v, err
	}
}

// locator is finder for those who must know where a version was found.
func (s *session) locator(own ocm.Repository, component string, lookup []repositoryName) inspect.Locate {
	type place func() (ocm.Repository, error)
	return func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		notFound := fmt.Errorf("%s:%s: in no repository that was named or configured: %w", name, version, ocm.ErrNotFound)
		var places []place
		inOwn := func() (ocm.Repository, error) { return own, nil }
		if own != nil && name == component {
			places = append(places, inOwn)
		}
		if s.resolvers != nil {
			for _, spec := range s.resolvers.Match(name, version) {
				places = append(places, func() (ocm.Repository, error) { return s.openSpec(ctx, spec) })
			}
		}
		if own != nil && name != component {
			places = append(places, inOwn)
		}
		for _, l := range lookup {
			places = append(places, func() (ocm.Repository, error) { return s.openSource(ctx, l.typ, l.location) })
		}
		for _, open := range places {
			repo, err := open()
			var v ocm.Version
			if err == nil {
				v, err = repo.Open(ctx, name, version)
			}
			if !errors.Is(err, ocm.ErrNotFound) {
				return repo, v, err
			}
			notFound = err
		}
		return nil, nil, notFound
	}
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // who calls names the file
	}
	defer f.Close()
	return readAll(f, limit)
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ocm.ErrLimit)
	}
	return text, err
}

// readSpec reads a typed specification from a YAML or JSON file.
func readSpec(path string) (ocm.Spec, error) {
	var spec ocm.Spec
	text, err := readFile(path, config.MaxFileSize)
	if err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return spec, fmt.Errorf("%s: %v: %w", path, err, ocm.ErrInvalid)
	}
	if err := spec.UnmarshalJSON(raw); err != nil {
		return spec, fmt.Errorf("%s: %v: %w", path, err, ocm.ErrInvalid)
	}
	return spec, nil
}
