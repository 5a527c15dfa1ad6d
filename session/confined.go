// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"

	"ocm"
	"ocm/config"
)

// confine refuses what a configuration names of the process: files, folders and proxies. What is in its credentials is refused by package
// credentials.
func confine(c *config.Config) error {
	if c == nil {
		return nil
	}
	refuse := func(typ, what string) error {
		return fmt.Errorf("configuration: %s: %s: a configuration in the cluster names no files and no programs; write the content itself: %w", typ, what, ocm.ErrInvalid)
	}
	f, err := c.Filesystem()
	switch {
	case err != nil:
		return err
	case f.TempFolder != "":
		return refuse(config.FilesystemType, "tempFolder")
	case f.WorkingDirectory != "":
		return refuse(config.FilesystemType, "workingDirectory")
	}
	plugins, err := c.Plugins()
	if err != nil {
		return err
	}
	if len(plugins.Locations) > 0 {
		return refuse(config.PluginType, "locations")
	}
	if len(plugins.Named) > 0 {
		return refuse(config.PluginType, "plugins")
	}
	if err := confineKeys(c, refuse); err != nil {
		return err
	}
	return confineHTTP(c, refuse)
}

func confineKeys(c *config.Config, refuse func(typ, what string) error) error {
	keys, err := c.Keys()
	if err != nil {
		return err
	}
	for member, set := range map[string]map[string]config.Key{"publicKeys": keys.Public, "privateKeys": keys.Private} {
		for name, k := range set {
			if k.Path != "" {
				return refuse(config.KeysType, fmt.Sprintf("%s: %.80s: path", member, name))
			}
		}
	}
	for i, k := range keys.Roots {
		if k.Path != "" {
			return refuse(config.KeysType, fmt.Sprintf("rootCertificates[%d]: path", i))
		}
	}
	return nil
}

func confineHTTP(c *config.Config, refuse func(typ, what string) error) error {
	settings, err := config.Explained(c, config.HTTPType, (*config.Config).HTTP)
	if err != nil {
		return err
	}
	check := func(where string, o config.HTTPOptions) error {
		switch {
		case o.CertificateFile != "":
			return refuse(config.HTTPType, where+"certificateFile")
		case o.KeyFile != "":
			return refuse(config.HTTPType, where+"keyFile")
		case o.Proxy != "": // the way out of the cluster is not the tenant's choice
			return fmt.Errorf("configuration: %s: %sproxy: which one is used is said by the installation: %w", config.HTTPType, where, ocm.ErrInvalid)
		case o.Trust == nil:
			return nil
		}
		for _, k := range o.Trust.Roots {
			if k.Path != "" {
				return refuse(config.HTTPType, where+"caFiles (or "+config.RootCertsType+": path)")
			}
		}
		return nil
	}
	if err := check("", settings.Default); err != nil {
		return err
	}
	for host, o := range settings.Hosts {
		if err := check(fmt.Sprintf("hosts: %.80s: ", host), o); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses what [New] would refuse in a confined session. Nothing is opened.
func Check(c *config.Config) error {
	_, err := New(Options{Env: &ocm.Env{}, Config: c, Confined: true})
	return err
}
