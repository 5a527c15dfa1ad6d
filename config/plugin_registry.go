// SPDX-License-Identifier: Apache-2.0

package config

// PluginRegistryType is the type of entries that say where plugins are looked up by their names.
const PluginRegistryType = "plugin.registry.config.ocm.software"

// PluginRegistries returns the references of the component versions in which plugins are looked up, in order.
func (c *Config) PluginRegistries() ([]string, error) {
	return Explained(c, PluginRegistryType, func(c *Config) ([]string, error) {
		var all []string
		for _, s := range c.Of(PluginRegistryType) {
			var r struct {
				Registries []string `json:"registries"`
			}
			if err := s.Decode(&r); err != nil {
				return nil, err
			}
			all = append(all, r.Registries...)
		}
		return all, nil
	})
}
