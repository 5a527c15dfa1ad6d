// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"ocm"
	"ocm/graph"
)

// printReport writes what a verification has found: as a table for people, whole for programs.
func printReport(w io.Writer, format string, r *graph.Report) error {
	if format != "table" {
		return printValue(w, format, r)
	}
	if err := checkTable(r.Steps).write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", verdictOf(r))
	return err
}

// checkTable is short: digests are cut, and of what went wrong it has a word. The whole
// story of a failure is in the error, and all of everything in json and yaml.
func checkTable(list []graph.Step) *table {
	t := newTable("OBJECT", "CHECK", "VERDICT", "DETAIL")
	component := ""
	for i := 0; i < len(list); i++ {
		s := list[i]
		pinned := s.Object == "component version" && s.Verdict == graph.OK
		if s.Component != component {
			component = s.Component
			if pinned {
				t.line("", component+"  "+shortDigests(s.Detail))
				continue
			}
			t.line("", component)
		}
		object := s.Object
		more := alike(list[i:])
		if more > 0 {
			object += fmt.Sprintf(" and %d more", more)
			i += more
		}
		t.add(object, s.Check, s.Verdict, shortDetail(s))
	}
	return t
}

// alike counts the steps after the first that were skipped for the same reason, if these are many.
func alike(list []graph.Step) int {
	n := 0
	for _, s := range list[1:] {
		if a := list[0]; a.Verdict != graph.Skipped || s.Verdict != a.Verdict || s.Component != a.Component || s.Check != a.Check || s.Detail != a.Detail {
			break
		}
		n++
	}
	if n < 3 {
		return 0
	}
	return n
}

func shortDetail(c graph.Step) string {
	if c.Verdict != graph.Failed {
		return shortDigests(withoutKnown(c))
	}
	if strings.HasPrefix(c.Object, "signature") {
		return shortFailure(c)
	}
	return shortError(c.Detail)
}

// withoutKnown cuts what says nothing new. Names of signers are never cut: what is left could be the name of somebody else.
func withoutKnown(c graph.Step) string {
	if ofVerifier := strings.HasPrefix(c.Object, "signature ") && c.Check != "descriptor digest"; !ofVerifier {
		detail, _, _ := strings.Cut(c.Detail, " (") // the algorithm that normalised
		return detail
	}
	if algorithm, by, _ := strings.Cut(c.Detail, " "); strings.HasPrefix(by, "by the key in ") { // who verifies has named it
		return algorithm
	}
	return c.Detail
}

// shortFailure is a word for what is wrong with a signature.
func shortFailure(c graph.Step) string {
	text := c.Detail
	for _, known := range [...]struct{ part, word string }{
		{"no signature is named", "no such signature"},
		{"the version has no signatures", "not signed"},
		{"no public key, configure one", "no key"},
		{"public key not found", "no key"},
		{"does not fit the key", "wrong key or changed"},
		{"is not what was signed", "changed since it was signed"},
	} {
		if strings.Contains(text, known.part) {
			return known.word
		}
	}
	switch c.Check {
	case ocm.FoundChain:
		return "certificate not accepted"
	case ocm.FoundTime:
		return "time not accepted"
	case ocm.FoundIdentity:
		return "not the signer that is demanded"
	case ocm.FoundLog:
		return "not in a log that is trusted"
	}
	return shortError(text)
}

// shortError is a word for the kind of an error. Digests that do not match have more to say.
func shortError(text string) string {
	if i := strings.Index(text, "no digest: "); i >= 0 {
		return "no digest"
	}
	for _, kind := range [...]error{ocm.ErrDigest, ocm.ErrSignature, ocm.ErrNotFound, ocm.ErrDenied, ocm.ErrUnknownType, ocm.ErrLimit, ocm.ErrInvalid} {
		if strings.Contains(text, kind.Error()) {
			return kind.Error()
		}
	}
	return shortDigests(text)
}

// verdictOf says what the table means.
func verdictOf(r *graph.Report) string {
	failed, signatures, contents, uncovered, skipped, components := 0, 0, 0, 0, 0, map[string]bool{}
	for _, c := range r.Steps {
		components[c.Component] = true
		switch source := strings.HasPrefix(c.Object, "source "); {
		case c.Verdict == graph.Failed:
			failed++
		case c.Verdict == graph.Excluded, source && r.Verified:
			uncovered++
		case c.Verdict == graph.Skipped:
			skipped++
		case c.Check == "signature":
			signatures++
		case strings.HasPrefix(c.Object, "resource "):
			contents++
		}
	}
	switch {
	case !r.Verified && failed == 0:
		return "NOT verified: no signature was found good"
	case !r.Verified && skipped > 0:
		return fmt.Sprintf("NOT verified: %d of %s failed, %d skipped", failed, count(len(r.Steps)-skipped, "check"), skipped)
	case !r.Verified:
		return fmt.Sprintf("NOT verified: %d of %s failed", failed, count(len(r.Steps), "check"))
	case r.Shallow:
		return fmt.Sprintf("verified: %s; shallow: contents and references were not checked", count(signatures, "signature"))
	}
	line := fmt.Sprintf("verified: %s, %s, %s", count(signatures, "signature"), count(contents, "content"), count(len(components), "component version"))
	if uncovered > 0 {
		line += fmt.Sprintf("\nnot covered by signatures: %s (sources, and what is excluded)", count(uncovered, "element"))
	}
	return line
}
