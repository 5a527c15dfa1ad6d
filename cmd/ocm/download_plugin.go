// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"

	"github.com/spf13/cobra"

	"ocm"
	"ocm/inspect"
)

const downloadPluginLong = `Fetch a plugin into a folder: "ocm plugin install" for another folder, or another computer.

The resource is selected by its type and its identity; os and architecture are those of this
computer unless --extra-identity says something else. What is for another computer cannot be
asked here what it can do: --skip-validation.

Signatures are verified as by "ocm plugin install"; see there, also for what becomes of the
program and its record.`

const downloadPluginExample = `  # for this computer, into a folder
  ocm download plugin ./archive//acme.org/plugins/hello:1.0.0 --output plugins --public-key rsa.pub

  # for another one
  ocm download plugin ./archive//acme.org/plugins/hello:1.0.0 --output plan9 --extra-identity os=plan9,architecture=386 --skip-validation --public-key rsa.pub`

type downloadPluginOptions struct {
	deliveryOptions
	folder   string
	version  string
	identity string
	typ      string
}

func newDownloadPlugin(a *app) *cobra.Command {
	var o downloadPluginOptions
	cmd := &cobra.Command{
		Use:     "plugin <reference> [flags]",
		Aliases: []string{"plugins"},
		Short:   "Fetch a plugin",
		Long:    downloadPluginLong,
		Example: downloadPluginExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.request(args[0])
			if err != nil {
				return err
			}
			return runPluginInstall(cmd.Context(), a, o.deliveryOptions, r)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&o.folder, "output", "O", "", "`folder` to write to (default: that of plugins)")
	addEnum(fs, &o.deliveryOptions.output, "output-format", "o", "output format", "table", "yaml", "json")
	alias(fs, "output-format", "format", "f")
	fs.StringVar(&o.version, "resource-version", "", "`version` of the resource (default: any)")
	fs.StringVar(&o.identity, "extra-identity", "", "what the identity of the resource must have, `key=value,...` (default: os and architecture of this computer)")
	fs.StringVar(&o.typ, "plugin-type", inspect.PluginType, "`type` of the resource")
	o.AddFlags(fs)
	return cmd
}

func (o *downloadPluginOptions) request(reference string) (pluginRequest, error) {
	r, err := o.deliveryOptions.request()
	if err != nil {
		return r, err
	}
	if r.at, err = parseVersion(reference); err != nil {
		return r, err
	}
	r.folder, r.typ = o.folder, o.typ
	if o.identity != "" {
		more, err := ocm.ParseIdentity(o.identity)
		if err != nil {
			return r, usagef("--extra-identity: %w", err)
		}
		if _, older := more["arch"]; older {
			delete(r.identity, "architecture")
		}
		maps.Copy(r.identity, more)
	}
	if o.version != "" {
		r.identity["version"] = o.version
	}
	return r, nil
}
