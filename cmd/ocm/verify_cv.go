// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/graph"
)

const verifyLong = `Verify a component version: that its signatures are good, and that everything they
cover is what it was. Digests of descriptors and of the content of all resources are
computed again, also for all versions that are referenced. Nothing is trusted because
somebody wrote it down.

All signatures are verified, or those that --signature names; a version without any fails.
The public key comes from --public-key, or from the configuration: credentials of the
consumer {type: RSA/v1alpha1, algorithm: RSASSA-PSS, signature: NAME}. What cannot be
checked is a failure, never a warning.

Each signature is judged by the rules of its own kind. Signatures with certificates must lead to
--ca-cert, and be by --issuer; keyless ones (Sigstore) must lead to --trusted-root, and be by
--certificate-identity, whom --certificate-oidc-issuer knows. A --verifier-spec is for signatures
of its kind. What is demanded so and met by no signature is a failure, too.

--shallow checks the signatures against this descriptor only and reads no content.`

const verifyExample = `  ocm verify cv ./archive//acme.org/app:1.0.0 --public-key rsa.pub

  # one of several signatures, and what was checked, for a script
  ocm verify cv ./archive//acme.org/app:1.0.0 --signature release --public-key rsa.pub -o json

  # only the signature, without reading content
  ocm verify cv ./archive//acme.org/app:1.0.0 --public-key rsa.pub --shallow`

type verifyOptions struct {
	trustOptions
	shallow bool
	output  string
}

func (o *verifyOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	o.trustOptions.AddFlags(fs)
	fs.BoolVar(&o.shallow, "shallow", false, "check neither content nor referenced versions")
	addEnum(fs, &o.output, "output", "o", "output format", "table", "json", "yaml")
	alias(fs, "shallow", "local", "L")
	boundAlias(fs, &g.parallel)
}

// verifyRequest is what "ocm verify cv" asks for.
type verifyRequest struct {
	at ocm.Coordinates
	trust
	shallow bool
}

// check is one step of a verification.
type check struct {
	Component string `json:"component"`        // name:version
	Object    string `json:"object"`           // "resource image", "reference lib", "signature release"
	Check     string `json:"check"`            // what was compared
	Verdict   string `json:"verdict"`          // ok, failed, excluded or skipped
	Detail    string `json:"detail,omitempty"` // the digest that was confirmed, or the error
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
	r, err := o.trustOptions.request()
	if err != nil {
		return err
	}
	r.at, r.shallow = at, o.shallow
	s, err := a.session()
	if err != nil {
		return err
	}
	checks, err := s.verify(ctx, r)
	a.err.stopProgress()
	err = withHint(err, verifyHint(err, o.trustOptions))
	if len(checks) == 0 {
		return err
	}
	// What failed, and what did not, is a result too; the exit status is that of the failure.
	return errors.Join(err, printList(a.out, o.output, checks, checkTable), printVerdict(a.out, o, checks, err))
}

// checkTable is short: digests are cut, and of what went wrong it has a word. The whole
// story of a failure is in the error, and all of everything in json and yaml.
func checkTable(list []check) *table {
	t := newTable("OBJECT", "CHECK", "VERDICT", "DETAIL")
	for i, c := range list {
		if i == 0 || c.Component != list[i-1].Component {
			t.line("", c.Component)
		}
		t.add(c.Object, c.Check, c.Verdict, shortDetail(c))
	}
	return t
}

func shortDetail(c check) string {
	if c.Verdict != graph.Failed {
		detail, _, _ := strings.Cut(c.Detail, " (")          // the algorithm that normalised
		detail, _, _ = strings.Cut(detail, " by the key in") // who verifies has named it
		return shortDigests(detail)
	}
	if strings.HasPrefix(c.Object, "signature") {
		return shortFailure(c.Detail)
	}
	return shortError(c.Detail)
}

// shortFailure is a word for what is wrong with a signature.
func shortFailure(text string) string {
	for _, known := range [...]struct{ part, word string }{
		{"no signature is named", "no such signature"},
		{"the version has no signatures", "not signed"},
		{"no public key, configure one", "no key"},
		{"public key not found", "no key"},
		{"does not fit the key", "wrong key or changed"},
	} {
		if strings.Contains(text, known.part) {
			return known.word
		}
	}
	return shortError(text)
}

// shortError is a word for the kind of an error.
func shortError(text string) string {
	for _, kind := range [...]error{ocm.ErrDigest, ocm.ErrSignature, ocm.ErrNotFound, ocm.ErrDenied, ocm.ErrUnknownType, ocm.ErrLimit, ocm.ErrInvalid} {
		if strings.Contains(text, kind.Error()) {
			return kind.Error()
		}
	}
	return "error"
}

// printVerdict ends the table with what it means.
func printVerdict(w io.Writer, o verifyOptions, checks []check, failure error) error {
	if o.output != "table" {
		return nil
	}
	failed, signatures, contents, uncovered, components := 0, 0, 0, 0, map[string]bool{}
	for _, c := range checks {
		components[c.Component] = true
		switch {
		case c.Verdict == graph.Failed:
			failed++
		case c.Verdict == graph.Excluded, strings.HasPrefix(c.Object, "source "):
			uncovered++
		case c.Verdict != graph.OK:
		case c.Check == "signature":
			signatures++
		case strings.HasPrefix(c.Object, "resource "):
			contents++
		}
	}
	line := fmt.Sprintf("verified: %s, %s, %s", count(signatures, "signature"), count(contents, "content"), count(len(components), "component version"))
	if uncovered > 0 {
		line += fmt.Sprintf("; not covered by signatures: %s (sources, excluded resources)", count(uncovered, "element"))
	}
	switch {
	case failure != nil && failed == 0:
		line = "NOT verified: no signature was found good"
	case failure != nil:
		line = fmt.Sprintf("NOT verified: %d of %s failed", failed, count(len(checks), "check"))
	case o.shallow:
		line = fmt.Sprintf("verified: %s; shallow: contents and references were not checked", count(signatures, "signature"))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", line)
	return err
}

func verifyHint(err error, o trustOptions) string {
	switch {
	case len(o.publicKeys) == 0 && isNoKey(err):
		return "give the key with --public-key, or configure it for the name of the signature"
	case o.sigstore.root == "" && isNoRoot(err):
		return "give the file with the authorities by --trusted-root, or configure it for the name of the signature; nothing is downloaded"
	}
	return ""
}
