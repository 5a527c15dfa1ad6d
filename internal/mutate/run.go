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
		out, err := w.goTest(pkg, "^("+strings.Join(top, "|")+")$", "-v")
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

// apply returns nil if the test fails.
func (w *workshop) apply(i int, m mutation) error {
	path := filepath.Join(w.root, m.file)
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(src), m.find); n != 1 {
		return fmt.Errorf("this text is in the file %d times, expected is once", n)
	}
	mutated := filepath.Join(w.temp, fmt.Sprintf("%d.go", i))
	overlay := filepath.Join(w.temp, fmt.Sprintf("%d.json", i))
	doc, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(mutated, []byte(strings.Replace(string(src), m.find, m.replace, 1)), 0o600), os.WriteFile(overlay, doc, 0o600)); err != nil {
		return err
	}
	var parts []string
	for part := range strings.SplitSeq(spelled(m.test), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	out, err := w.goTest(m.pkg, strings.Join(parts, "/"), "-overlay", overlay)
	switch {
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case err == nil:
		return fmt.Errorf("NOT NOTICED by %s in %s", m.test, m.pkg)
	case !strings.Contains(out, "--- FAIL: "+spelled(m.test)+" (") && !strings.Contains(out, "\npanic: "):
		return fmt.Errorf("the test did not run: %w\n%s", err, out)
	}
	return nil
}

func (w *workshop) goTest(pkg, pattern string, more ...string) (string, error) {
	args := append([]string{"test", "-vet=off", "-ldflags=-s -w", "-timeout=300s", "-run", pattern}, more...)
	cmd := exec.CommandContext(w.ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = w.root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// spelled is the name of a test as go test writes it.
func spelled(name string) string { return strings.ReplaceAll(name, " ", "_") }
