// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const verifyLong = `Verify a component version: that its signatures are good, and that everything they
cover is what it was. Digests of descriptors and of the content of all resources are
computed again, also for all versions that are referenced. Nothing is trusted because
somebody wrote it down.

All signatures are verified, or those that --signature names; a version without any fails.
The public key comes from --public-key, or from the configuration: credentials of the
consumer {type: RSA/v1alpha1, algorithm: RSASSA-PSS, signature: NAME}. A key without a name
is good for signatures of every name. What cannot be checked is a failure, never a warning.

Each signature is judged by the rules of its own kind. Signatures with certificates must lead to
--ca-cert, and be by --issuer; keyless ones (Sigstore) must lead to --trusted-root, and be by
--certificate-identity, whom --certificate-oidc-issuer knows. A --verifier-spec is for signatures
of its kind. What is demanded so and met by no signature is a failure, too.

--shallow checks the signatures against this descriptor only and reads no content.

docs/signing.md is the guide.`

const verifyExample = `  ocm verify cv ./archive//acme.org/app:1.0.0 --public-key rsa.pub

  # one of several signatures, and what was checked, for a script
  ocm verify cv ./archive//acme.org/app:1.0.0 --signature release --public-key rsa.pub -o json

  # two who sign, each with a key of their own
  ocm verify cv ./archive//acme.org/app:1.0.0 --signature release --signature audit --public-key release=rsa.pub --public-key audit=audit.pub

  # a certificate chain (--tsa-cert too, if there is a timestamp)
  ocm verify cv ./archive//acme.org/app:1.0.0 --ca-cert root.pem --issuer CN=release,O=acme

  # only the signature, without reading content
  ocm verify cv ./archive//acme.org/app:1.0.0 --public-key rsa.pub --shallow`

type verifyOptions struct {
	trustOptions
	shallow    bool
	allCovered bool
	output     string
}

func (o *verifyOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	o.trustOptions.AddFlags(fs)
	fs.BoolVar(&o.shallow, "shallow", false, "check neither content nor referenced versions")
	fs.BoolVar(&o.allCovered, "require-all", false, "fail if a signature leaves out anything that it could cover, such as excluded resources")
	addEnum(fs, &o.output, "output", "o", "output format", "table", "json", "yaml")
	alias(fs, "shallow", "local", "L")
	boundAlias(fs, &g.parallel)
}

// verifyRequest is what "ocm verify cv" asks for.
type verifyRequest struct {
	at ocm.Coordinates
	trust
	shallow    bool
	allCovered bool
}

func newVerifyCV(a *app) *cobra.Command {
	var o verifyOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "Verify a component version and all it consists of",
		Long:    verifyLong,
		Example: verifyExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerifyCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

func runVerifyCV(ctx context.Context, a *app, o verifyOptions, reference string) error {
	at, err := parseVersion(reference)
	if err != nil {
		return err
	}
	if o.allCovered && o.shallow {
		return usagef("--require-all is about contents and references too: leave out --shallow")
	}
	r, err := o.trustOptions.request()
	if err != nil {
		return err
	}
	r.at, r.shallow, r.allCovered = at, o.shallow, o.allCovered
	s, err := a.session()
	if err != nil {
		return err
	}
	report, err := s.verify(ctx, r)
	a.err.stopProgress()
	err = withHint(err, verifyHint(err, o.trustOptions))
	if report == nil {
		return err
	}
	// What failed, and what did not, is a result too; the exit status is that of the failure.
	return errors.Join(err, printReport(a.out, o.output, report))
}

func verifyHint(err error, o trustOptions) string {
	switch {
	case len(o.publicKeys) == 0 && isNoKey(err):
		return "give the key with --public-key, or for a certificate chain its authority with --ca-cert, or configure them for the name of the signature"
	case isNoKey(err):
		return "no key of --public-key is for a signature of this kind and name: an RSA key is for RSA signatures, NAME=FILE only for NAME"
	case o.sigstore.root == "" && isNoRoot(err):
		return "give the file with the authorities by --trusted-root, or configure it for the name of the signature; nothing is downloaded"
	case err != nil && o.tsaCert == "" && strings.Contains(err.Error(), "tsaCertPEM is not set"):
		return "give the root of the time stamping authority with --tsa-cert"
	case err != nil && strings.Contains(err.Error(), "no signature is named") && slices.ContainsFunc(o.signatures, func(s string) bool { return strings.Contains(s, ",") }):
		return "each --signature takes one name: repeat it for several"
	}
	return ""
}
