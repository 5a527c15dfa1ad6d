// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// What may become of a mutation but that the test notices.
var (
	errSurvived = errors.New("NOT NOTICED")
	errText     = errors.New("the text is not in the file exactly once")
	errBuild    = errors.New("the mutation does not build")
	errOdd      = errors.New("the test did not run")
)

// workshop is where mutated files are made.
type workshop struct {
	ctx        context.Context
	root, temp string
}

func newWorkshop(ctx context.Context) (*workshop, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	temp, err := os.MkdirTemp("", "ocm-mutate-")
	return &workshop{ctx, strings.TrimSpace(string(out)), temp}, err
}

// baseline demands that every test that is named is there, and passes.
func (w *workshop) baseline(list []mutation) error {
	tests := map[string]map[string]bool{}
	for _, m := range list {
		if tests[m.pkg] == nil {
			tests[m.pkg] = map[string]bool{}
		}
		tests[m.pkg][m.test] = true
	}
	for pkg, names := range tests {
		var top []string
		for name := range names {
			t, _, _ := strings.Cut(name, "/")
			top = append(top, regexp.QuoteMeta(t))
		}
		binary := filepath.Join(w.temp, "baseline.test")
		if err := w.build(pkg, binary); err != nil {
			return fmt.Errorf("%s without a mutation: %w", pkg, err)
		}
		out, err := w.test(pkg, binary, "^("+strings.Join(top, "|")+")$", variable+"=")
		if err != nil {
			return fmt.Errorf("%s without a mutation: %w\n%s", pkg, err, out)
		}
		for name := range names {
			if !strings.Contains(out, "--- PASS: "+spelled(name)+" (") {
				return fmt.Errorf("%s: test %q is not there, or does not run here", pkg, name)
			}
		}
	}
	return nil
}

// apply returns nil if the test fails. A mutation that does not build, or that makes another test
// fail, proves nothing. shared is a binary that has it among others, or empty; what it does not show is tried alone.
func (w *workshop) apply(i int, m mutation, shared string) error {
	if shared != "" {
		if err := w.judge(i, m, shared); err == nil || w.ctx.Err() != nil {
			return err
		}
	}
	dir := filepath.Join(w.temp, fmt.Sprint(i))
	defer os.RemoveAll(dir)
	overlay, err := w.overlay(dir, m)
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "mutated.test")
	err = w.build(m.pkg, binary, "-overlay", overlay)
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errBuild, err)
	}
	return w.judge(i, m, binary)
}

// judge returns nil if the test of a mutation fails in a binary that has it.
func (w *workshop) judge(i int, m mutation, binary string) error {
	var parts []string
	for part := range strings.SplitSeq(spelled(m.test), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	out, err := w.test(m.pkg, binary, strings.Join(parts, "/"), fmt.Sprintf("%s=%d", variable, i))
	switch {
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case err == nil:
		return fmt.Errorf("%w by %s in %s", errSurvived, m.test, m.pkg)
	case !strings.Contains(out, "--- FAIL: "+spelled(m.test)+" (") && !strings.Contains(out, "\npanic: "):
		return fmt.Errorf("%w: %w\n%s", errOdd, err, out)
	}
	return nil
}

// overlay writes the mutated file, and what tells the compiler to take it for the real one.
func (w *workshop) overlay(dir string, m mutation) (string, error) {
	path := filepath.Join(w.root, m.file)
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(src), m.find); n != 1 {
		return "", fmt.Errorf("%w: %d times", errText, n)
	}
	mutated, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	doc, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(mutated, []byte(strings.Replace(string(src), m.find, m.replace, 1)), 0o600),
		os.WriteFile(overlay, doc, 0o600))
}

// build makes the test binary of a package. It is a step of its own, so that nobody takes an error of the
// compiler for a test that fails.
func (w *workshop) build(pkg, binary string, more ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary}, more...)
	cmd := exec.CommandContext(w.ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = w.root
	cmd.Env = append(os.Environ(), "GOGC=400") // the linker's memory is bounded by what it reads; this takes a fifth less time
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return nil
}

// test runs tests of a binary where go test would, in the folder of the package.
func (w *workshop) test(pkg, binary, pattern, chosen string) (string, error) {
	cmd := exec.CommandContext(w.ctx, binary, "-test.v", "-test.timeout=300s", "-test.run", pattern)
	cmd.Dir, cmd.Env = filepath.Join(w.root, pkg), append(os.Environ(), chosen)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// spelled is the name of a test as go test writes it.
func spelled(name string) string { return strings.ReplaceAll(name, " ", "_") }
