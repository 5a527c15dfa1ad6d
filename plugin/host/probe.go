// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"ocm"
)

// Folders are the folders in which plugins are looked for, at least one: ~ and variables are replaced. Plugins are installed into the first.
func (h *Host) Folders() ([]string, error) {
	dirs, errs := h.dirs()
	if len(dirs)+len(errs) == 0 {
		return nil, fmt.Errorf("no folder of plugins: HOME is not set; name one by --plugin-directory: %w", ocm.ErrInvalid)
	}
	return dirs, errors.Join(errs...)
}

// Probe asks one executable, wherever it is, what it can do. One that can do nothing is [ocm.ErrInvalid].
func (h *Host) Probe(ctx context.Context, path string) (*Plugin, error) {
	s := &search{host: h, folders: folders{}, byName: map[string]*Plugin{}}
	path, err := filepath.Abs(path) // it is asked in another folder
	if err == nil {
		err = s.add(path)
	}
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", show(path), err)
	}
	p := s.found[0]
	if err := p.ask(ctx); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	if len(p.Capabilities.Capabilities) == 0 {
		return nil, fmt.Errorf("plugin %s: capabilities: it says that it can do nothing: %w", p.Name, ocm.ErrInvalid)
	}
	return p, nil
}
