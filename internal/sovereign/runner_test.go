// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testRunner runs blocks on this machine, without worlds.
func testRunner(t *testing.T) (*runner, *strings.Builder) {
	t.Helper()
	dir := t.TempDir()
	l := &lab{root: dir, dir: dir, build: filepath.Join(dir, "build"), site: filepath.Join(dir, "site"), log: filepath.Join(dir, "log")}
	for _, folder := range []string{l.build, l.site, l.log, l.home(build), l.home(target)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	r := &runner{lab: l, record: newRecord(options{}), out: &out, command: func(ctx context.Context, _ side, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, args[0], args[1:]...)
	}}
	r.ocm = func(context.Context, ...string) ([]byte, error) {
		return nil, errors.New("no archive is carried in this test")
	}
	return r, &out
}

func mustParse(t *testing.T, text string) []block {
	t.Helper()
	blocks, err := parse("x.md", text)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func TestBlocksRunInOrderAndAreRecorded(t *testing.T) {
	t.Parallel()
	r, _ := testRunner(t)
	r.light = true
	text := "# One\n```sh build pack\nprintf 12345678 >made\n```\n```sh carry\ncp \"$BUILD/made\" \"$SITE\"\n```\n# Two\n```sh target\necho own >own\ngrep 5 made\ntest -z \"${BUILD:-}\"\n```\n```sh target real\nfalse\n```\n```sh carry\nmkdir \"$SITE/more\"\ncp \"$BUILD/made\" \"$SITE/more\"\n```\n"
	if err := r.all(t.Context(), mustParse(t, text), ""); err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for _, c := range r.record.Checks {
		outcomes = append(outcomes, c.Name+" "+c.Outcome)
	}
	if got, want := strings.Join(outcomes, ", "), "One passed, One passed, Two passed, Two left out, Two passed"; got != want {
		t.Errorf("expected %s, found %s", want, got)
	}
	if len(r.record.Measures) != 1 || r.record.Measures[0].Bytes != 8 {
		t.Errorf("expected 8 bytes measured, found %+v", r.record.Measures)
	}
	if len(r.record.Carried) != 2 || r.record.Carried[0].File != "made" || r.record.Carried[1].File != "more/made" || r.record.Carried[0].SHA256 != "ef797c8118f02dfb649607dd5d3f8c7623048c9c063d532cc95c5ed7a898a64f" {
		t.Errorf("expected the two files that were carried, found %+v", r.record.Carried)
	}
}

func TestFailureTellsWhatFailedAndEndsTheRun(t *testing.T) {
	t.Parallel()
	r, out := testRunner(t)
	text := "# One\n```sh build\necho before\nfalse | cat\necho after\n```\n```sh build\ntouch next\n```\n"
	err := r.all(t.Context(), mustParse(t, text), "")
	if err == nil || !strings.Contains(err.Error(), `x.md:3: in section "One", on the side "build"`) {
		t.Fatalf("expected where it failed, found %v", err)
	}
	r.tellFailure(t.Context(), err)
	for _, want := range []string{"    before\n", "line 4 of the document, exit status 1: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("expected %q in\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "    after\n    ") {
		t.Errorf("expected an end at the first failure, found\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(r.lab.build, "next")); err == nil {
		t.Error("expected that the next block does not run")
	}
}

func TestInterruptEndsABlock(t *testing.T) {
	t.Parallel()
	r, _ := testRunner(t)
	for name, patience := range map[string]time.Duration{"before it begins": 0, "while it runs": 50 * time.Millisecond} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("enough"))
		err := r.all(ctx, mustParse(t, "```sh build\nexec sleep 1000\n```\n"), "")
		if err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("%s: expected why it was ended, found %v", name, err)
		}
		cancel()
	}
}

func TestOnlyEndsAfterASection(t *testing.T) {
	t.Parallel()
	r, _ := testRunner(t)
	blocks := mustParse(t, "# One\n```sh build\ntrue\n```\n# Two\n```sh build\ntrue\n```\n# Three\n```sh build\nfalse\n```\n")
	if err := r.all(t.Context(), blocks, "Two"); err != nil || len(r.record.Checks) != 2 {
		t.Errorf("expected two sections, found %v, %+v", err, r.record.Checks)
	}
}

// The worlds reach themselves, and nobody else.
func TestWorldsAreApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := newWorlds(&lab{build: dir, dir: dir, images: dir, archive: filepath.Join(dir, "x")})
	if err != nil && (os.Geteuid() != 0 || errors.Is(err, os.ErrPermission)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.apart(t.Context(), newRecord(options{})); err != nil {
		t.Error(err)
	}
	w.of[build] = w.of[target] // were they one, it is noticed
	if err := w.apart(t.Context(), newRecord(options{})); err == nil {
		t.Error("expected that a world that reaches the other is noticed")
	}
}

// TestMain lets this program be the one that listens and dials in the worlds.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == asListen || os.Args[1] == asDial) {
		if err := start(context.Background(), os.Args[1:]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
