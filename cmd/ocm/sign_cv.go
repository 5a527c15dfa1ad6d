// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/graph"
)

const signLong = `Sign a component version and store the signature with it.

What is signed is the digest of the normalised descriptor. It covers the digests of all
resources and of all versions that are referenced; each of them is computed again and
compared before anything is signed. With --recursive the versions that are referenced are
signed too, with the same name and key, those at the bottom first; digests that are missing
there are added. Of those that are referenced, the ones with a good signature of this name
stay as they are.

The private key comes from --private-key, or from the configuration: credentials of the
consumer {type: RSA/v1alpha1, algorithm: RSASSA-PSS, signature: NAME}. A key that is
configured for one signature name is not used for another. The kind of key given by
--private-key says how to sign: RSA, ECDSA, Ed25519 or OpenPGP. --keyless signs with
an identity in place of a key (Sigstore).

A key that is kept on another machine signs there: --export writes a signing request, "ocm
sign hash --request" signs it, and --attach stores the signature, if it is one of this version.

The default normalisation, jsonNormalisation/v3, is known to all OCM tools. Verifiers that use
the older of them need --algorithm RSASSA-PKCS1-V1_5 too.

docs/signing.md is the guide.`

const signExample = `  # with a key pair from a file
  ocm sign cv ./archive//acme.org/app:1.0.0 --private-key rsa.priv

  # everything that is delivered with it, too
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature all --private-key rsa.priv --recursive

  # another signature beside the first, with the other RSA algorithm
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature release --algorithm RSASSA-PKCS1-V1_5 --private-key rsa.priv

  # only show the signature
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature trial --private-key rsa.priv --dry-run -o json

  # with a key on another machine
  ocm sign cv ./archive//acme.org/app:1.0.0 --signature hsm --export request.yaml
  ocm sign cv ./archive//acme.org/app:1.0.0 --attach signature.yaml --public-key rsa.pub`

type signOptions struct {
	signerOptions
	normalisation string
	hash          string
	recursive     bool
	force         bool
	dryRun        bool
	export        string
	attach        string
	output        string
}

func (o *signOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	o.signerOptions.AddFlags(fs)
	addNormalisation(fs, &o.normalisation, &o.hash)
	fs.BoolVarP(&o.recursive, "recursive", "r", false, "sign all referenced versions too, with the same name and key")
	fs.BoolVar(&o.force, "force", false, "replace a signature of the same name")
	fs.BoolVar(&o.dryRun, "dry-run", false, "show digest and signature, store nothing")
	fs.StringVar(&o.export, "export", "", "write a signing request to this `file`, for \"ocm sign hash --request\"; sign and store nothing")
	fs.StringVar(&o.attach, "attach", "", "store the signature in this `file`, which \"ocm sign hash\" made; --public-key or --ca-cert demand that it is good")
	addEnum(fs, &o.output, "output", "o", "output format", "yaml", "json")
	alias(fs, "recursive", "recurse", "R")
	boundAlias(fs, &g.parallel)
}

// addNormalisation adds the flags that say what is hashed and how.
func addNormalisation(fs *pflag.FlagSet, normalisation, hash *string) {
	addEnum(fs, normalisation, "normalisation", "N", "normal form of the descriptor", "jsonNormalisation/v3", "jsonNormalisation/v4alpha1")
	addEnum(fs, hash, "hash", "H", "hash algorithm", ocm.SHA256, ocm.SHA512)
}

// signRequest is what "ocm sign cv" asks for.
type signRequest struct {
	signOptions
	at ocm.Coordinates
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
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return runSignCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

// check finds contradictions before anything is read.
func (o *signOptions) check(changed func(flag string) bool) error {
	if err := o.signerOptions.check(changed); err != nil {
		return err
	}
	switch {
	case o.export != "" && o.attach != "":
		return usagef("--export asks for a signature and --attach brings it: give one of them")
	case o.export+o.attach != "" && o.recursive:
		return usagef("--export and --attach are for one version: start with those that are referenced, without --recursive")
	case o.export+o.attach != "" && o.privateKey != "":
		return usagef("--private-key is for the other machine, \"ocm sign hash\": leave it out")
	case o.export+o.attach != "" && (o.keyless || o.spec != ""):
		return usagef("--keyless and --signer-spec are for \"ocm sign hash\": leave them out")
	case o.export != "" && o.publicKey+o.caCert+o.tsaCert+o.tsaURL != "":
		return usagef("--export needs no key, no authority and no timestamp: leave them out")
	case o.attach == "" && o.publicKey != "" && o.privateKey == "":
		return usagef("--public-key is for the key of --private-key, which is missing")
	case o.dryRun && o.keyless:
		return usagef("--dry-run with --keyless would publish the signature all the same: \"ocm hash cv\" shows what would be signed")
	}
	if o.attach != "" {
		for _, flag := range [...]string{"algorithm", "hash", "normalisation"} {
			if changed(flag) {
				return usagef("--%s: the signature in %s says it", flag, o.attach)
			}
		}
		if !changed("signature") {
			o.signature = "" // any
		}
	}
	return nil
}

func runSignCV(ctx context.Context, a *app, o signOptions, reference string) error {
	at, err := parseVersion(reference)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	r := signRequest{o, at}
	if o.export != "" {
		return withHint(s.export(ctx, r), signHint(nil, o.signerOptions))
	}
	var list []graph.Signed
	if o.attach != "" {
		list, err = s.attach(ctx, r)
	} else {
		list, err = s.sign(ctx, r)
	}
	a.err.stopProgress()
	next := signHint(err, o.signerOptions)
	if o.attach != "" && isNoKey(err) {
		next = attachHint(o.signerOptions)
	}
	err = withHint(err, next)
	switch {
	case len(list) == 0:
		return err
	case o.recursive: // also what was signed before something failed
		return errors.Join(err, printValue(a.out, o.output, list))
	case err != nil:
		return err
	}
	return printValue(a.out, o.output, list[0].Signature)
}

// attachHint is for a signature that no key at hand is for.
func attachHint(o signerOptions) string {
	if o.publicKey != "" {
		return "the key of --public-key is for signatures of another kind: give the one that belongs to the key which signed"
	}
	return "give the public key with --public-key, or for a certificate chain its authority with --ca-cert"
}

// export writes a signing request.
func (s *session) export(ctx context.Context, r signRequest) error {
	o, err := s.signer(r.signerOptions)
	if err != nil {
		return err
	}
	o.Hash, o.Normalisation, o.Force = r.hash, r.normalisation, r.force
	repo, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return err
	}
	request, err := graph.NewRequest(ctx, s.kit, s.env, graph.Locate(s.Locator(repo, r.at.Component, nil)), repo, v, o)
	if err != nil {
		return err
	}
	s.app.err.stopProgress()
	if r.export == "-" {
		return printValue(s.app.out, r.output, request)
	}
	f, err := os.Create(r.export)
	if err != nil {
		return fmt.Errorf("--export: %w", err)
	}
	err = errors.Join(printValue(f, r.output, request), f.Close())
	if err == nil {
		s.env.Log.Info("sign it where the key is: ocm sign hash --request", "file", r.export, "digest", request.Digest.Value)
	}
	return err
}
