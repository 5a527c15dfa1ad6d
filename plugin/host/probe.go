// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"path/filepath"

	"ocm"
)

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
