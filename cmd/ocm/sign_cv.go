// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const signLong = `Sign a component version and store the signature with it.

What is signed is the digest of the normalised descriptor. It covers the digests of all
resources and of all versions that are referenced; each of them is computed again and
compared before anything is signed.

The private key comes from --private-key, or from the configuration: credentials of the
consumer {type: RSA/v1alpha1, algorithm: RSASSA-PSS, signature: NAME}. A key that is
configured for one signature name is not used for another.

The default normalisation, jsonNormalisation/v3, is known to all OCM tools. Verifiers that use
the older of them need --algorithm RSASSA-PKCS1-V1_5 too.`

const signExample = `  # with a key pair from a file
  ocm sign cv ./archive//acme.org/app:1.0.0 --private-key rsa.priv

  # another signature beside the first, with the other RSA algorithm
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature release --algorithm RSASSA-PKCS1-V1_5 --private-key rsa.priv

  # only show the signature
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature trial --private-key rsa.priv --dry-run -o json`

type signOptions struct {
	signature     string
	algorithm     string
	normalisation string
	hash          string
	privateKey    string
	publicKey     string
	recursive     bool
	force         bool
	dryRun        bool
	output        string
}

func (o *signOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	fs.StringVarP(&o.signature, "signature", "s", "default", "`name` of the signature")
	fs.StringVarP(&o.algorithm, "algorithm", "S", "RSASSA-PSS", "signature `algorithm`: RSASSA-PSS, RSASSA-PKCS1-V1_5 or GPG, which is the default for OpenPGP keys")
	addNormalisation(fs, &o.normalisation, &o.hash)
	fs.StringVarP(&o.privateKey, "private-key", "K", "", "`file` with the private key")
	fs.StringVarP(&o.publicKey, "public-key", "k", "", "`file` with the public key; certificates in it go into the signature, the signer's first")
	fs.BoolVarP(&o.recursive, "recursive", "R", false, "sign all referenced versions too, with the same name and key")
	fs.BoolVar(&o.force, "force", false, "replace a signature of the same name")
	fs.BoolVar(&o.dryRun, "dry-run", false, "show the signature, store nothing")
	addEnum(fs, &o.output, "output", "o", "output format", "yaml", "json")
	boundAlias(fs, &g.parallel)
}

// addNormalisation adds the flags that say what is hashed and how.
func addNormalisation(fs *pflag.FlagSet, normalisation, hash *string) {
	addEnum(fs, normalisation, "normalisation", "N", "normal form of the descriptor", "jsonNormalisation/v3", "jsonNormalisation/v4alpha1")
	addEnum(fs, hash, "hash", "H", "hash algorithm", ocm.SHA256, ocm.SHA512)
}

// signRequest is what "ocm sign cv" asks for.
type signRequest struct {
	at            ocm.Coordinates
	signature     string
	algorithm     string // as given; the configuration decides where explicit is false
	explicit      bool   // --algorithm was given
	normalisation string
	hash          string
	privateKey    string // files; empty: from the configuration
	publicKey     string
	recursive     bool
	force         bool
	dryRun        bool
}

func newSignCV(a *app) *cobra.Command {
	var o signOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "Sign a component version",
		Long:    signLong,
		Example: signExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSignCV(cmd.Context(), a, o, args[0], cmd.Flags().Changed("algorithm"))
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

func runSignCV(ctx context.Context, a *app, o signOptions, reference string, explicit bool) error {
	at, err := parseVersion(reference)
	if err != nil {
		return err
	}
	if o.signature == "" {
		return usagef("--signature: the name is empty")
	}
	if o.publicKey != "" && o.privateKey == "" {
		return usagef("--public-key is for the key of --private-key, which is missing")
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	sig, err := s.sign(ctx, signRequest{at: at, signature: o.signature, algorithm: o.algorithm, explicit: explicit,
		normalisation: o.normalisation, hash: o.hash, privateKey: o.privateKey, publicKey: o.publicKey,
		recursive: o.recursive, force: o.force, dryRun: o.dryRun})
	if err != nil {
		return withHint(err, signHint(err, o))
	}
	a.err.stopProgress()
	return printValue(a.out, o.output, sig)
}

func signHint(err error, o signOptions) string {
	switch {
	case anyOf(ocm.ErrExists)(err):
		return "--force replaces the signature; --signature gives the new one another name"
	case o.privateKey == "" && isNoKey(err):
		return "give the key with --private-key (\"ocm create rsakeypair\" makes one), or configure it for signature " + o.signature
	}
	return ""
}
