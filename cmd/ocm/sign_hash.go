// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"ocm"
	descriptors "ocm/descriptor"
	"ocm/graph"
	"ocm/normalise"
)

const signHashLong = `Sign a digest, where the key is, and print the signature. Nothing else is needed there: no
archive, no registry and no network.

--request takes the file that "ocm sign cv --export" wrote. It has the canonical bytes of
the descriptor in it: their digest is computed again, and is what is signed; component and
version must be those that the request names. --digest takes a bare digest, of which nobody
can say here what it is of.

The signature that is printed is stored by "ocm sign cv --attach".`

const signHashExample = `  # what "ocm sign cv --export" wrote
  ocm sign hash --request request.yaml --private-key rsa.priv

  # a bare digest, as "ocm hash cv -o digest" prints it
  ocm sign hash --digest SHA-256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 --signature hsm --private-key rsa.priv -o json`

type signHashOptions struct {
	signerOptions
	request string
	digest  string
	output  string
}

func (o *signHashOptions) AddFlags(fs *pflag.FlagSet) {
	o.signerOptions.AddFlags(fs)
	fs.StringVar(&o.request, "request", "", "signing request, a `file` that \"ocm sign cv --export\" wrote; - for standard input")
	fs.StringVar(&o.digest, "digest", "", "`digest` to sign: SHA-256:HEX or SHA-512:HEX, with [NORMALISATION] after it if that is not jsonNormalisation/v3")
	addEnum(fs, &o.output, "output", "o", "output format", "yaml", "json")
}

func newSignHash(a *app) *cobra.Command {
	var o signHashOptions
	cmd := &cobra.Command{
		Use:     "hash [flags]",
		Short:   "Sign a digest, and print the signature",
		Long:    signHashLong,
		Example: signHashExample,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return runSignHash(cmd.Context(), a, o, cmd.Flags().Changed("signature"))
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func (o *signHashOptions) check(changed func(flag string) bool) error {
	if err := o.signerOptions.check(changed); err != nil {
		return err
	}
	switch {
	case (o.request == "") == (o.digest == ""):
		return usagef("what is to be signed? Give --request or --digest, one of them")
	case o.publicKey != "" && o.privateKey == "":
		return usagef("--public-key is for the key of --private-key, which is missing")
	}
	return nil
}

func runSignHash(ctx context.Context, a *app, o signHashOptions, named bool) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	var digest ocm.Digest
	if o.digest != "" {
		digest, err = parseDigest(o.digest)
	} else {
		digest, err = s.accept(&o, named)
	}
	if err != nil {
		return err
	}
	options, err := s.signer(o.signerOptions)
	if err != nil {
		return err
	}
	sig, err := graph.SignDigest(ctx, s.kit, s.env, digest, options)
	if err != nil {
		err = s.keyError(err)
		return withHint(err, signHint(err, o.signerOptions))
	}
	return printValue(a.out, o.output, sig)
}

// accept reads a signing request and tells what is going to be signed.
func (s *session) accept(o *signHashOptions, named bool) (ocm.Digest, error) {
	var r graph.Request
	if err := s.readDocument(o.request, &r); err != nil {
		return r.Digest, fmt.Errorf("--request %w", err)
	}
	if err := r.Check(); err != nil {
		return r.Digest, fmt.Errorf("%s: %w", o.request, err)
	}
	if named && o.signature != r.Signature {
		return r.Digest, usagef("--signature %s: the request is for the signature %q", o.signature, r.Signature)
	}
	o.signature = r.Signature
	if !o.explicit && r.Algorithm != "" {
		o.algorithm = r.Algorithm
	}
	s.env.Log.Info("signing", "component", r.Component, "version", r.Version, "signature", r.Signature, "digest", r.Digest.Value)
	return r.Digest, nil
}

// parseDigest reads a digest as OCM tools write it: SHA-256:HEX[jsonNormalisation/v3].
func parseDigest(s string) (ocm.Digest, error) {
	d := ocm.Digest{NormalisationAlgorithm: normalise.V3}
	rest := s
	if i := strings.IndexAny(s, "[("); i > 0 {
		rest, d.NormalisationAlgorithm = strings.TrimSpace(s[:i]), strings.TrimRight(s[i+1:], "])")
	}
	var ok bool
	d.HashAlgorithm, d.Value, ok = strings.Cut(rest, ":")
	sizes := map[string]int{ocm.SHA256: 32, ocm.SHA512: 64}
	raw, err := hex.DecodeString(d.Value)
	if !ok || err != nil || len(raw) != sizes[d.HashAlgorithm] || len(raw) == 0 {
		return d, usagef("--digest %q: expected %s: and 64 hex digits, or %s: and 128", s, ocm.SHA256, ocm.SHA512)
	}
	if d.NormalisationAlgorithm != normalise.V3 && d.NormalisationAlgorithm != normalise.V4 {
		return d, usagef("--digest %q: normalisation %q, expected %s or %s", s, d.NormalisationAlgorithm, normalise.V3, normalise.V4)
	}
	d.Value = hex.EncodeToString(raw)
	return d, nil
}

// maxDocument bounds signing requests and signatures, in bytes.
const maxDocument = 16 << 20

// readDocument reads a YAML or JSON file into v; "-" is standard input. Members that nobody knows are refused:
// they were meant to say something.
func (s *session) readDocument(path string, v any) error {
	var text []byte
	var err error
	if path == "-" {
		text, err = untilInterrupted(s.app.ctx, func() ([]byte, error) { return readAll(s.app.in, maxDocument) })
	} else {
		text, err = readFile(path, maxDocument)
	}
	if err == nil {
		err = descriptors.CheckAliases(text, maxDocument)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return fmt.Errorf("%s: %v: %w", path, err, ocm.ErrInvalid)
	}
	if err := jsonv2.Unmarshal(raw, v, jsonv2.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%s: %w", path, descriptors.Explain(err))
	}
	return nil
}
