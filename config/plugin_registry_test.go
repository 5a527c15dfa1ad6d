// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"slices"
	"testing"

	"ocm"
)

func TestPluginRegistries(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- {type: plugin.registry.config.ocm.software, registries: [a//acme.org/a]}
- {type: plugin.registry.config.ocm.software/v1alpha1, registries: [b//acme.org/b:1.0.0, c//acme.org/c]}`)
	if got, err := c.PluginRegistries(); err != nil || !slices.Equal(got, []string{"a//acme.org/a", "b//acme.org/b:1.0.0", "c//acme.org/c"}) {
		t.Error(got, err)
	}
	if got, err := (*Config)(nil).PluginRegistries(); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
	if _, err := entries(t, "- {type: plugin.registry.config.ocm.software, registries: a}").PluginRegistries(); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}
