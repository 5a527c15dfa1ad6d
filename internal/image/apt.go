// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ocm"
)

// maxPackages bounds what a recipe draws in.
const maxPackages = 1000

// debs are the packages that a recipe names, and what they depend on, in the order of their names: what apt would install, in
// exactly these versions. What is not in the folder yet is downloaded into it. apt has checked by the signature of the archive what it
// says of a package, and with that we check the file.
func (r recipe) debs(ctx context.Context, dir string) ([]deb, error) {
	if len(r.packages) == 0 {
		return r.inFolder(dir)
	}
	known, err := r.closure(ctx)
	if err != nil {
		return nil, err
	}
	var debs []deb
	for _, name := range slices.Sorted(maps.Keys(known)) {
		s := known[name]
		// As apt names what it downloads: the colon of an epoch is the one character that needs care.
		base := name + "_" + strings.ReplaceAll(s["Version"], ":", "%3a") + "_" + s["Architecture"] + ".deb"
		d := deb{path: filepath.Join(dir, base), expected: s["SHA256"], layer: below}
		if slices.ContainsFunc(r.packages, func(p string) bool { return p == name || strings.HasPrefix(p, name+"=") }) {
			d.layer = wanted
		}
		debs = append(debs, d)
	}
	return debs, download(ctx, dir, known, debs)
}

// closure asks apt for what the packages depend on, generation by generation.
func (r recipe) closure(ctx context.Context) (map[string]stanza, error) {
	known, ask := map[string]stanza{}, r.packages
	for len(ask) > 0 {
		out, err := output(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions", "--"}, ask...)...)
		if err != nil {
			return nil, fmt.Errorf("%w (a machine that has never asked has to run apt-get update first)", err)
		}
		list, err := parseStanzas(out)
		if err != nil {
			return nil, fmt.Errorf("apt-cache show: %w", err)
		}
		for _, s := range list {
			if _, ok := known[s["Package"]]; !ok {
				known[s["Package"]] = s
			}
		}
		if len(known) > maxPackages {
			return nil, fmt.Errorf("the packages depend on more than %d others: %w", maxPackages, ocm.ErrLimit)
		}
		next := map[string]bool{}
		for _, a := range ask {
			name, _, _ := strings.Cut(a, "=")
			s, ok := known[name]
			if !ok || !versionName.MatchString(s["Version"]) || len(s["SHA256"]) != 64 {
				return nil, fmt.Errorf("apt offers no package %s; a recipe does without it by \"without %s\": %w", a, name, ocm.ErrNotFound)
			}
			for _, d := range depends(s) {
				if _, ok := known[d]; !ok && !slices.Contains(r.without, d) {
					next[d] = true
				}
			}
		}
		ask = slices.Sorted(maps.Keys(next))
	}
	return known, nil
}

// depends are the packages that one needs; of alternatives the first, which is the one that Debian prefers.
func depends(s stanza) []string {
	var names []string
	for clause := range strings.SplitSeq(s["Pre-Depends"]+","+s["Depends"], ",") {
		first, _, _ := strings.Cut(clause, "|")
		name, _, _ := strings.Cut(first, "(")
		name, _, _ = strings.Cut(strings.TrimSpace(name), ":")
		if packageName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// download gets what is not in the folder yet, all in one go.
func download(ctx context.Context, dir string, known map[string]stanza, debs []deb) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // apt fetches as another user
		return err
	}
	args := []string{"--quiet=2", "download", "--"}
	begun := len(args)
	for _, d := range debs {
		if sum, err := sumFile(d.path); err == nil && sum == d.expected {
			continue
		}
		name, _, _ := strings.Cut(filepath.Base(d.path), "_")
		args = append(args, name+"="+known[name]["Version"])
	}
	if len(args) == begun {
		return nil
	}
	if _, err := output(ctx, dir, "apt-get", args...); err != nil {
		return fmt.Errorf("%w (what apt knows may be old: apt-get update)", err)
	}
	return nil
}

// output is what a tool prints, without the language of the user.
func output(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C")
	var text bounded
	var errs bounded
	cmd.Stdout, cmd.Stderr = &text, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", tool, args[0], err, strings.TrimSpace(string(errs)))
	}
	return text, nil
}

// maxOutput is the most that a tool may print.
const maxOutput = 16 << 20

// bounded takes what a tool prints, up to a limit.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	if len(*b)+len(p) > maxOutput {
		return 0, fmt.Errorf("more than %d bytes were printed: %w", maxOutput, ocm.ErrLimit)
	}
	*b = append(*b, p...)
	return len(p), nil
}
