// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/installed"
	"ocm/plugin/wire"
)

const (
	// MaxPlugins is how many executables are looked at.
	MaxPlugins = 256
	// CapabilitiesTimeout is how long a plugin may take to say what it can do.
	CapabilitiesTimeout = 10 * time.Second
)

// Plugin is an executable that has said what it can do.
type Plugin struct {
	Name         string // of the file
	Path         string
	Capabilities wire.Capabilities

	host *Host
	mu   sync.Mutex
	runs *running // nil: not running
}

// discover asks every executable in the folders what it can do.
func (h *Host) discover(ctx context.Context) ([]*Plugin, error) {
	paths, err := h.executables()
	all := make([]*Plugin, len(paths))
	errs := make([]error, len(paths))
	var wait sync.WaitGroup
	for i, path := range paths {
		wait.Go(func() {
			p := &Plugin{Name: filepath.Base(path), Path: path, host: h}
			if _, errs[i] = installed.Check(path); errs[i] != nil {
				return
			}
			if errs[i] = p.ask(ctx); errs[i] == nil {
				all[i] = p
			}
		})
	}
	wait.Wait()
	var found []*Plugin
	for i, p := range all {
		if p != nil {
			found = append(found, p)
		} else {
			err = errors.Join(err, fmt.Errorf("plugin %s: %w", paths[i], errs[i]))
		}
	}
	return found, err
}

// executables are the executable files in the folders.
func (h *Host) executables() (paths []string, err error) {
	for _, dir := range h.o.Dirs {
		err = errors.Join(err, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case d.IsDir() && path != dir && d.Name()[0] == '.':
				return fs.SkipDir // what is being installed
			case d.IsDir() || d.Name()[0] == '.':
				return nil
			case len(paths) == MaxPlugins:
				return fmt.Errorf("%s: more than %d plugins: %w", dir, MaxPlugins, ocm.ErrLimit)
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				paths = append(paths, path)
			}
			return nil
		}))
	}
	return paths, err
}

// ask asks a plugin for its capabilities.
func (p *Plugin) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, CapabilitiesTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Path, "capabilities") //nolint:gosec // what is in the folders of plugins is run
	cmd.Env = p.environment()
	var out bytes.Buffer
	cmd.Stdout = &limited{w: &out, left: wire.MaxCapabilities, stop: cancel}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &p.Capabilities); err != nil {
		return fmt.Errorf("capabilities: %w: %w", err, ocm.ErrInvalid)
	}
	if p.Capabilities.Protocol != wire.Protocol {
		return fmt.Errorf("capabilities: expected protocol %s, found %.100q: %w", wire.Protocol, p.Capabilities.Protocol, errors.ErrUnsupported)
	}
	return nil
}

// environment is what a plugin sees of the process's variables.
func (p *Plugin) environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// limited takes so many bytes, and stops who writes one more.
type limited struct {
	w    *bytes.Buffer
	left int
	stop func()
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		l.stop()
		return 0, fmt.Errorf("more than is accepted: %w", ocm.ErrLimit)
	}
	return l.w.Write(b)
}
