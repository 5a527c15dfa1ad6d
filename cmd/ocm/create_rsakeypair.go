// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"ocm/sign/cert"
)

const createRSALong = `Make a pair of RSA keys for signing: a private key (PKCS#8, readable only by you) and the
public key that others verify with (PKIX), both as PEM files. Without names they are
rsa.priv and rsa.pub; with one name, the public key's is made of it.

"ocm create keypair" makes keys for other algorithms, too.`

const createRSAExample = `  ocm create rsakeypair

  # with other names
  ocm create rsakeypair acme.priv acme.pub`

func newCreateRSAKeyPair(a *app) *cobra.Command {
	o := keyPairOptions{algorithm: cert.RSA}
	cmd := &cobra.Command{
		Use:     "rsakeypair [private key file [public key file]] [flags]",
		Aliases: []string{"rsakeypairs", "rsa"},
		Short:   "Make a pair of RSA keys for signing",
		Long:    createRSALong,
		Example: createRSAExample,
		Args:    keyPairArguments,
		RunE: func(_ *cobra.Command, args []string) error {
			return runCreateKeyPair(a, o, args)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}
