// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ocm"
	"ocm/config"
	"ocm/plugin/legacy"
	"ocm/plugin/wire"
)

// Limits of what is looked at.
const (
	MaxPlugins = 256    // executables
	maxEntries = 10_000 // files and folders, executable or not
	maxDepth   = 8      // folders in folders
	// CapabilitiesTimeout is how long a plugin may take to say what it can do.
	CapabilitiesTimeout = 10 * time.Second
	// asked is how many are asked at once.
	asked = 8
)

// Plugin is an executable that has said what it can do.
type Plugin struct {
	Name         string // of the file
	Path         string
	Capabilities wire.Capabilities

	real   string // the file that the path leads to
	host   *Host
	legacy *legacy.Plugin // of the older protocol; nil: of ours

	mu     sync.Mutex
	now    *attempt // nil: never started
	deaths int
	last   error // what is told of the last one
}

// String names it in messages.
func (p *Plugin) String() string { return "plugin " + p.Name }

func (p *Plugin) settings() config.Plugin { return p.host.o.Plugins[p.Name] }

func (p *Plugin) memory() int64 {
	if m := p.settings().Memory; m > 0 {
		return m
	}
	return max(p.host.o.Memory, 0)
}

func (p *Plugin) openFiles() int {
	if n := p.settings().OpenFiles; n > 0 {
		return n
	}
	return OpenFiles
}

// timeout is how long a call goes on without progress.
func (p *Plugin) timeout() time.Duration {
	if t := p.settings().Timeout; t > 0 {
		return t
	}
	return CallTimeout
}

// discover asks every executable in the folders what it can do.
func (h *Host) discover(ctx context.Context) (found []*Plugin, failed []error) {
	all, failed := h.executables()
	errs := make([]error, len(all))
	slots := make(chan struct{}, asked)
	var wait sync.WaitGroup
	for i, p := range all {
		slots <- struct{}{}
		wait.Go(func() {
			errs[i] = p.ask(ctx)
			<-slots
		})
	}
	wait.Wait()
	for i, p := range all {
		if errs[i] == nil {
			h.log.Debug("a plugin is there", "plugin", p.Name, "path", show(p.Path))
			found = append(found, p)
		} else {
			failed = append(failed, fmt.Errorf("plugin %s (%s): %w", p.Name, show(p.Path), errs[i]))
		}
	}
	return found, failed
}

// show is a name or a path without what would control a terminal.
func show(text string) string { return wire.Text(text, 500) }

// search looks for executables.
type search struct {
	host    *Host
	folders folders
	byName  map[string]*Plugin
	found   []*Plugin
	errs    []error
	entries int
}

// executables are the executable files in the folders that may be run, each under a name of its own.
func (h *Host) executables() ([]*Plugin, []error) {
	dirs, errs := h.dirs()
	s := &search{host: h, folders: folders{}, byName: map[string]*Plugin{}, errs: errs}
	for _, dir := range dirs {
		// A link may stand for the folder itself; below it none is followed to a folder.
		real, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) {
			h.log.Debug("a folder of plugins is not there", "path", show(dir))
			continue
		}
		if err == nil {
			err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error { return s.visit(real, path, d, err) })
		}
		if err != nil {
			s.errs = append(s.errs, fmt.Errorf("folder of plugins %s: %w", show(dir), err))
		}
	}
	return s.found, s.errs
}

func (s *search) visit(root, path string, d fs.DirEntry, err error) error {
	s.entries++
	hidden := path != root && strings.HasPrefix(d.Name(), ".")
	switch {
	case err != nil:
		s.errs = append(s.errs, err)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case s.entries > maxEntries:
		return fmt.Errorf("more than %d files: %w", maxEntries, ocm.ErrLimit)
	case d.IsDir() && (hidden || strings.Count(path[len(root):], string(filepath.Separator)) > maxDepth):
		return fs.SkipDir
	case d.IsDir() || hidden:
		return nil
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil //nolint:nilerr // no program, or a link that leads nowhere
	}
	if len(s.found) == MaxPlugins {
		return fmt.Errorf("more than %d plugins: %w", MaxPlugins, ocm.ErrLimit)
	}
	if err := s.add(path); err != nil {
		s.errs = append(s.errs, fmt.Errorf("plugin %s: %w", show(path), err))
	}
	return nil
}

// add notes an executable.
func (s *search) add(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(real)} {
		if err := s.folders.check(dir); err != nil {
			return err
		}
	}
	p := &Plugin{Name: strings.TrimSuffix(filepath.Base(path), ".exe"), Path: path, real: real, host: s.host}
	if first := s.byName[p.Name]; first != nil {
		return fmt.Errorf("%s has the same name and counts: %w", show(first.Path), ocm.ErrExists)
	}
	if !isName(p.Name) {
		return fmt.Errorf("name %q: %w", show(p.Name), ocm.ErrInvalid)
	}
	s.byName[p.Name] = p
	s.found = append(s.found, p)
	return nil
}

// dirs are the folders that are looked through.
func (h *Host) dirs() (dirs []string, errs []error) {
	home := h.o.Getenv("HOME")
	if len(h.o.Dirs) == 0 && filepath.IsAbs(home) {
		return []string{filepath.Join(home, ".config", "ocm", "plugins")}, nil
	}
	for _, dir := range h.o.Dirs {
		if expanded, err := h.expand(dir); err != nil {
			errs = append(errs, err)
		} else {
			dirs = append(dirs, expanded)
		}
	}
	return dirs, errs
}

// expand replaces ~ and variables. One that is not set is an error: what is left might be a folder that nobody meant.
func (h *Host) expand(dir string) (string, error) {
	expanded := dir
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		expanded = "$HOME" + rest
	}
	var unset []string
	expanded = os.Expand(expanded, func(name string) string {
		v := h.o.Getenv(name)
		if v == "" {
			unset = append(unset, name)
		}
		return v
	})
	switch {
	case len(unset) > 0:
		return "", fmt.Errorf("folder of plugins %q: variable %.100q is not set: %w", dir, unset[0], ocm.ErrInvalid)
	case !filepath.IsAbs(expanded):
		return "", fmt.Errorf("folder of plugins %q: expected an absolute path: %w", dir, ocm.ErrInvalid)
	}
	return filepath.Clean(expanded), nil
}
