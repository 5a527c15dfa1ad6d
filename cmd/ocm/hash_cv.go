// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const hashLong = `Show the digest of a component version: the hash of its normalised descriptor, which is
what a signature signs and what a reference to the version records.

With -o norm the normalised bytes themselves are written; their checksum is the digest.
That tells where two tools disagree.`

const hashExample = `  ocm hash cv ./archive//acme.org/app:1.0.0

  # the bytes that are hashed
  ocm hash cv ./archive//acme.org/app:1.0.0 -o norm

  # as another OCM tool computes it, and with all referenced versions
  ocm hash cv ./archive//acme.org/app:1.0.0 --normalisation jsonNormalisation/v4alpha1 --recursive -o json`

type hashOptions struct {
	normalisation string
	hash          string
	recursive     depth
	output        string
}

func (o *hashOptions) AddFlags(fs *pflag.FlagSet) {
	addNormalisation(fs, &o.normalisation, &o.hash)
	addDepth(fs, &o.recursive)
	addEnum(fs, &o.output, "output", "o", "output format", "table", "digest", "norm", "json", "yaml")
}

// hashRequest is what "ocm hash cv" asks for.
type hashRequest struct {
	at            ocm.Coordinates
	normalisation string
	hash          string
	recursive     bool
}

// hashed is a normalised component version.
type hashed struct {
	Component  string     `json:"component"`
	Version    string     `json:"version"`
	Digest     ocm.Digest `json:"digest"`
	Normalised []byte     `json:"-"`
}

func newHashCV(a *app) *cobra.Command {
	var o hashOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "Show the digest of a component version",
		Long:    hashLong,
		Example: hashExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHashCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func runHashCV(ctx context.Context, a *app, o hashOptions, reference string) error {
	at, err := parseVersion(reference)
	if err != nil {
		return err
	}
	if o.output == "norm" && o.recursive != 0 {
		return usagef("-o norm writes the bytes of one version: leave out --recursive")
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	list, err := s.hash(ctx, hashRequest{at, o.normalisation, o.hash, o.recursive != 0})
	if err != nil {
		return err
	}
	a.err.stopProgress()
	return printHashes(a, o.output, list)
}

func printHashes(a *app, format string, list []hashed) error {
	if format != "norm" && format != "digest" {
		return printList(a.out, format, list, hashTable)
	}
	for _, h := range list {
		line := []byte(h.Digest.Value + "\n")
		if format == "norm" {
			line = h.Normalised // not a byte more: it is made to be hashed
		}
		if _, err := a.out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func hashTable(list []hashed) *table {
	t := newTable("COMPONENT*", "VERSION", "NORMALISATION", "ALGORITHM", "DIGEST")
	for _, h := range list {
		t.add(h.Component, h.Version, h.Digest.NormalisationAlgorithm, h.Digest.HashAlgorithm, shortDigests(h.Digest.Value))
		t.line("   ", h.Digest.Value)
	}
	return t
}
