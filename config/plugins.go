// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// Plugins says where plugins are, how long an idle one lives, and what single ones are granted.
type Plugins struct {
	Locations   []string      // as they are written
	IdleTimeout time.Duration // default 1h
	Named       map[string]Plugin
}

// Plugin is what is granted to the plugin in a file of some name. What is zero has its default.
type Plugin struct {
	Environment []string      // names of variables that it sees
	Digest      digest.Digest // of the file; empty: any
	Memory      int64         // bytes
	OpenFiles   int
	Timeout     time.Duration // of a call without progress
}

// Bounds of what is granted to a plugin. With less none would start.
const (
	minPluginMemory = 64 << 20
	minPluginFiles  = 16
	maxPluginFiles  = 1 << 20
)

// Plugins returns the settings of plugins: all locations, the longest timeout, and of what is granted to one the later word.
func (c *Config) Plugins() (Plugins, error) { return Explained(c, PluginType, (*Config).plugins) }

func (c *Config) plugins() (Plugins, error) {
	var all Plugins
	for _, s := range c.Of(PluginType) {
		var p struct {
			Locations   []string                `json:"locations"`
			IdleTimeout *duration               `json:"idleTimeout"`
			Plugins     map[string]pluginMember `json:"plugins"`
		}
		if err := s.Decode(&p); err != nil {
			return all, err
		}
		all.Locations = append(all.Locations, p.Locations...)
		if p.IdleTimeout != nil {
			all.IdleTimeout = max(all.IdleTimeout, time.Duration(*p.IdleTimeout))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Plugins)) {
			if all.Named == nil {
				all.Named = map[string]Plugin{}
			}
			merged, err := p.Plugins[name].over(all.Named[name])
			if err != nil {
				return all, fmt.Errorf("%s: plugins: %.100q: %w", s.Type, name, err)
			}
			all.Named[name] = merged
		}
	}
	if all.IdleTimeout == 0 {
		all.IdleTimeout = time.Hour
	}
	return all, nil
}

// pluginMember is how [Plugin] is written.
type pluginMember struct {
	Environment []string `json:"environment"`
	Digest      string   `json:"digest"`
	Memory      string   `json:"memory"`
	OpenFiles   int      `json:"openFiles"`
	Timeout     duration `json:"timeout"`
}

// over is p with what m says.
func (m pluginMember) over(p Plugin) (Plugin, error) {
	for _, name := range m.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return p, fmt.Errorf("environment: %.100q is no name of a variable: %w", name, ocm.ErrInvalid)
		}
	}
	if m.Environment != nil {
		p.Environment = m.Environment
	}
	if m.Digest != "" {
		p.Digest = digest.Digest(m.Digest)
		if err := p.Digest.Validate(); err != nil {
			return p, fmt.Errorf("digest %.200q: %w: %w", m.Digest, err, ocm.ErrInvalid)
		}
	}
	if m.Memory != "" {
		var err error
		if p.Memory, err = parseBytes(m.Memory); err != nil {
			return p, fmt.Errorf("memory: %w", err)
		}
		if p.Memory < minPluginMemory {
			return p, fmt.Errorf("memory %.50q: expected at least %dMi: %w", m.Memory, minPluginMemory>>20, ocm.ErrInvalid)
		}
	}
	if m.OpenFiles != 0 {
		if p.OpenFiles = m.OpenFiles; p.OpenFiles < minPluginFiles || p.OpenFiles > maxPluginFiles {
			return p, fmt.Errorf("openFiles %d: expected %d to %d: %w", m.OpenFiles, minPluginFiles, maxPluginFiles, ocm.ErrInvalid)
		}
	}
	if m.Timeout != 0 {
		if p.Timeout = time.Duration(m.Timeout); p.Timeout < 0 {
			return p, fmt.Errorf("timeout %s: expected more than 0: %w", p.Timeout, ocm.ErrInvalid)
		}
	}
	return p, nil
}

// parseBytes reads a number of bytes as it is written in Kubernetes: 512Mi, 2G, 1000000.
func parseBytes(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTki")
	n, err := strconv.ParseUint(digits, 10, 62)
	unit, ok := map[string]int64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}[text[len(digits):]]
	if err != nil || !ok || int64(n) > (1<<62)/unit {
		return 0, fmt.Errorf("%.50q: expected a number of bytes, such as 512Mi or 2Gi: %w", text, ocm.ErrInvalid)
	}
	return int64(n) * unit, nil
}
