// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// schema names the form of a record.
const schema = "sovereign-record/v1"

// Outcomes of checks.
const (
	passed  = "passed"
	failed  = "failed"
	leftOut = "left out" // it needs a node that runs pods
)

// record is what a run has to say for itself.
type record struct {
	Schema   string    `json:"schema"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Node     string    `json:"node"`              // what pods run on
	Outcome  string    `json:"outcome"`           // of the whole
	Failure  string    `json:"failure,omitempty"` // of what failed first
	Machine  machine   `json:"machine"`
	Parts    []part    `json:"parts"`
	Keys     []key     `json:"keys"`
	Carried  []carried `json:"carried"`
	Checks   []check   `json:"checks"`
	Measures []rate    `json:"measures"`
}

type machine struct {
	System       string `json:"system"`
	Architecture string `json:"architecture"`
	Processors   int    `json:"processors"`
}

// part is a program that took part.
type part struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// key is a public key that was carried, by its SHA-256 fingerprint.
type key struct {
	File        string `json:"file"`
	Algorithm   string `json:"algorithm"`
	Bits        int    `json:"bits,omitempty"`
	Fingerprint string `json:"fingerprint"` // hexadecimal SHA-256 of the DER form (SubjectPublicKeyInfo)
}

// carried is a file that went from one world to the other.
type carried struct {
	File         string        `json:"file"`
	Bytes        int64         `json:"bytes"`
	SHA256       string        `json:"sha256"`
	Components   []component   `json:"components,omitempty"` // of an archive
	Attestations []attestation `json:"attestations,omitempty"`
}

type component struct {
	Name       string      `json:"name"`
	Version    string      `json:"version"`
	Provider   string      `json:"provider"`
	Resources  []resource  `json:"resources"`
	References []reference `json:"references,omitempty"`
	Signatures []signature `json:"signatures,omitempty"`
}

type resource struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Type    string `json:"type"`
	Digest  string `json:"digest"`
}

type reference struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Digest    string `json:"digest"`
}

type signature struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// attestation is something attached to an artifact, such as a list of its parts.
type attestation struct {
	Subject string `json:"subject"`
	Type    string `json:"type"`
	Digest  string `json:"digest"`
	Bytes   int64  `json:"bytes"`
}

// check is a block, or something that the runner looked at itself, which has no line.
type check struct {
	Name     string  `json:"name"`
	Document string  `json:"document,omitempty"`
	Line     int     `json:"line,omitempty"`
	Side     side    `json:"side,omitempty"`
	Outcome  string  `json:"outcome"`
	Seconds  float64 `json:"seconds"`
}

// rate is how fast one command was.
type rate struct {
	What           string  `json:"what"`
	Document       string  `json:"document"`
	Line           int     `json:"line"`
	Bytes          int64   `json:"bytes"`
	Seconds        float64 `json:"seconds"`
	BytesPerSecond float64 `json:"bytesPerSecond"`
}

func newRecord(o options) *record {
	node := "kubelet, containerd and runc"
	if o.light {
		node = "kwok: pods are said to run, and do not"
	}
	system, _ := os.ReadFile("/proc/sys/kernel/osrelease") // told if known
	return &record{
		Schema: schema, Started: time.Now().UTC().Truncate(time.Second), Node: node,
		Machine: machine{System: strings.TrimSpace("Linux " + string(system)), Architecture: runtime.GOARCH, Processors: runtime.NumCPU()},
		Parts:   []part{}, Keys: []key{}, Carried: []carried{}, Checks: []check{}, Measures: []rate{},
	}
}

// add records what the runner itself has looked at.
func (r *record) add(name string, start time.Time, err error) error {
	c := check{Name: name, Outcome: passed, Seconds: time.Since(start).Seconds()}
	if err != nil {
		c.Outcome = failed
		err = fmt.Errorf("%s: %w", name, err)
	}
	r.Checks = append(r.Checks, c)
	return err
}

func (r *record) rate(b block, bytes int64, seconds float64) {
	r.Measures = append(r.Measures, rate{
		What: b.Measure, Document: b.Document, Line: b.Line, Bytes: bytes, Seconds: seconds, BytesPerSecond: float64(bytes) / max(seconds, 0.001),
	})
}

// programs records the versions of what takes part. What is not there is not told.
func (r *record) programs(ctx context.Context, on *runner) {
	commands := []string{"ocm version", "openssl version", "regctl version --format '{{.VCSTag}}'", "kubectl version --client"}
	if !on.light {
		commands = append(commands, "kubelet --version", "containerd --version", "runc --version")
	}
	for _, command := range commands {
		name, _, _ := strings.Cut(command, " ")
		out, err := on.output(ctx, build, "bash", "-c", command)
		if m := versionNumber.FindString(string(out)); err == nil && m != "" {
			r.Parts = append(r.Parts, part{Name: name, Version: m})
		}
	}
}

// versionNumber finds the version in what programs say about themselves.
var versionNumber = regexp.MustCompile(`v?[0-9]+\.[0-9]+\.[0-9]+[-+.~a-z0-9]*|\(devel\)`)

// summary is the record in one line.
func (r *record) summary() string {
	count := map[string]int{}
	for _, c := range r.Checks {
		count[c.Outcome]++
	}
	return fmt.Sprintf("%s in %.0f s: %d checks passed, %d failed, %d left out", r.Outcome, r.Seconds, count[passed], count[failed], count[leftOut])
}

// end closes the record.
func (r *record) end(err error) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Outcome = passed
	if err != nil {
		r.Outcome, r.Failure = failed, err.Error()
	}
}

// write writes record.json and record.html into a folder.
func (r *record) write(dir string) error {
	text, err := json.Marshal(r, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "record.json"), append(text, '\n'), 0o644); err != nil { //nolint:gosec // for everybody
		return err
	}
	f, err := os.Create(filepath.Join(dir, "record.html"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := page.Execute(f, r); err != nil {
		return err
	}
	return f.Close()
}
