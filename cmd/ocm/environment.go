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
	"strings"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	descriptors "ocm/descriptor"
	shared "ocm/session"
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
	for _, set := range s.app.global.configSets {
		if err := s.config.Select(set); err != nil {
			return usagef("--config-set: %w", err)
		}
	}
	if folder, err := os.UserCacheDir(); err == nil && s.env.Cache == "" {
		s.env.Cache = filepath.Join(folder, "ocm")
	}
	if s.Session, err = shared.New(shared.Options{Kit: s.kit, Env: s.env, Config: s.config, Getenv: s.app.getenv, Plugins: s.app.host()}); err != nil {
		return err
	}
	s.app.atExit = append(s.app.atExit, s.close)
	older, err := s.config.Keys()
	if err != nil {
		return err
	}
	s.keys = &keyWatch{Credentials: credentials.Overlay(s.Secrets, olderKeys(older))}
	s.env.Credentials = s.keys
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
	r.rules = d.Rules
	if r.uploader != nil { // the rules say more
		r.rules = append(r.rules, config.TransferRule{Uploader: r.uploader})
	}
	return nil
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

// untilInterrupted is what read reads from standard input. A read that waits for somebody to type, or for a pipe, cannot be woken; but
// nobody waits for it any longer when ctx ends.
func untilInterrupted[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := read()
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// parseSpec reads what a flag says of a specification: its type, all of it as JSON, or a file that ends in .json, .yaml or .yml.
func parseSpec(flag, text string) (*ocm.Spec, error) {
	spec := ocm.Spec{Type: text}
	var err error
	switch ext := filepath.Ext(text); {
	case text == "":
		return nil, nil
	case strings.HasPrefix(text, "{"):
		if err = spec.UnmarshalJSON([]byte(text)); err != nil {
			err = descriptors.Explain(err)
		} else if spec.Type == "" {
			err = fmt.Errorf("the type is missing: %w", ocm.ErrInvalid)
		}
	case ext == ".json" || ext == ".yaml" || ext == ".yml":
		spec, err = readSpec(text)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("--%s: %w", flag, err))
	}
	return &spec, nil
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
		return spec, fmt.Errorf("%s: %w", path, descriptors.Explain(err))
	}
	return spec, nil
}
