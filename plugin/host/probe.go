// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ocm"
)

// Folders are the folders in which plugins are looked for, at least one: ~ and variables are replaced. Plugins are installed into the first.
func (h *Host) Folders() ([]string, error) {
	dirs := h.o.Dirs
	if len(dirs) == 0 {
		dirs = []string{"~/.config/ocm/plugins"}
	}
	var folders []string
	for _, dir := range dirs {
		unset := ""
		if rest, ok := strings.CutPrefix(dir, "~/"); ok {
			dir = "$HOME/" + rest
		}
		expanded := os.Expand(dir, func(name string) string {
			v := os.Getenv(name)
			if v == "" {
				unset = name
			}
			return v
		})
		if unset != "" || !filepath.IsAbs(expanded) {
			return nil, fmt.Errorf("folder of plugins %q: expected an absolute path, of variables that are set: %w", dir, ocm.ErrInvalid)
		}
		folders = append(folders, filepath.Clean(expanded))
	}
	return folders, nil
}

// Probe asks one executable, wherever it is, what it can do. One that can do nothing is [ocm.ErrInvalid].
func (h *Host) Probe(ctx context.Context, path string) (*Plugin, error) {
	p := &Plugin{Name: filepath.Base(path), Path: path, host: h}
	if err := p.ask(ctx); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	if len(p.Capabilities.Capabilities) == 0 {
		return nil, fmt.Errorf("plugin %s: capabilities: it says that it can do nothing: %w", p.Name, ocm.ErrInvalid)
	}
	return p, nil
}
