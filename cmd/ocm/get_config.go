// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm/config"
)

const getConfigLong = `Show the configuration that counts: the entries of all files that were read, without the
containers that they stand in, in the order in which they count. yaml names the files in
comments.

Secrets are shown as ***: of credentials and keys, and of entries of types that this program
does not know, everything but types, identities and places; of other entries what by its name
is a secret, private keys, and users, passwords and queries of addresses. --show-secrets
shows all, as it stands in the files.`

const getConfigExample = `  # what counts, and from which files
  ocm get config

  # what would count with this file, for a script
  ocm get config --config my.yaml -o json`

type getConfigOptions struct {
	secrets bool
	output  string
}

func (o *getConfigOptions) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.secrets, "show-secrets", false, "show secrets too")
	addEnum(fs, &o.output, "output", "o", "output format", "yaml", "json", "ndjson")
}

func newGetConfig(a *app) *cobra.Command {
	var o getConfigOptions
	cmd := &cobra.Command{
		Use:     "config [flags]",
		Aliases: []string{"configuration", "cfg"},
		Short:   "Show the configuration that counts",
		Long:    getConfigLong,
		Example: getConfigExample,
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			return runGetConfig(a, o)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runGetConfig(a *app, o getConfigOptions) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	all, err := s.config.Effective(config.Filesystem{TempFolder: s.env.Temp, WorkingDirectory: s.env.Dir}, o.secrets)
	if err != nil {
		return err
	}
	a.err.stopProgress()
	var b bytes.Buffer
	if o.output == "yaml" {
		for _, file := range s.config.Files {
			fmt.Fprintf(&b, "# %s\n", clean(file, false))
		}
	}
	if err := printValue(&b, o.output, all); err != nil {
		return err
	}
	_, err = a.out.Write(b.Bytes())
	return err
}
