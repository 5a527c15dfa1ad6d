// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ocm"
)

func load(t *testing.T, texts ...string) (*Config, []string) {
	t.Helper()
	var files []string
	for i, text := range texts {
		file := filepath.Join(t.TempDir(), "config"+string(rune('a'+i)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	c, err := Load(files, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, files
}

// The file of the older tool is understood as far as it concerns us; the rest is named in the log.
func TestOlderFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	file := filepath.Join("testdata", "older.yaml")
	c, err := Load([]string{file}, true, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, line := range strings.Split(out.String(), "\n") {
		if !strings.Contains(line, "entry ignored") {
			continue
		}
		if !strings.Contains(line, `in="`+file+": configurations[") || !strings.Contains(line, "level=DEBUG") || !strings.Contains(line, `why="it is for the older tool"`) {
			t.Errorf("log: %s", line)
		}
		_, typ, _ := strings.Cut(line, " type=")
		typ, _, _ = strings.Cut(typ, ".")
		types = append(types, typ)
	}
	if want := []string{"attributes", "uploader", "blobLimits", "hasher", "logging", "plugin", "transport"}; !slices.Equal(types, want) {
		t.Errorf("ignored: %q, expected %q", types, want)
	}
	if !strings.Contains(out.String(), "set=staging") || strings.Contains(out.String(), "s3cret") {
		t.Errorf("log: %s", &out)
	}
	aliases, err := c.Aliases()
	if err != nil || len(aliases) != 2 || aliases["products"].Type != "OCIRegistry" {
		t.Errorf("aliases %v, %v", aliases, err)
	}
	wantBases(t, c, "registry.example", "ghcr.io")
	if k, err := c.Keys(); err != nil || k.Public["release"].Path != "./release.pub" {
		t.Errorf("keys %v, %v", k, err)
	}
	if len(c.Credentials()) != 1 {
		t.Errorf("credentials: %v", c.Credentials())
	}
	if err := c.Select("staging"); err != nil {
		t.Fatal(err)
	}
	wantBases(t, c, "staging.example", "registry.example", "ghcr.io")
	if f, err := c.Filesystem(); err != nil || f.TempFolder != "/var/tmp" {
		t.Errorf("folders %v, %v", f, err)
	}
	if err := c.Select("nowhere"); !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "known: staging") {
		t.Errorf("unknown set: %v", err)
	}
	if err := new(Config).Select("x"); !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("no sets: %v", err)
	}
}

func wantBases(t *testing.T, c *Config, want ...string) {
	t.Helper()
	r, err := c.Resolvers()
	if err != nil {
		t.Fatal(err)
	}
	var bases []string
	for _, s := range r.Match("acme.org/base/lib", "1.0.0") {
		var v struct {
			BaseURL string `json:"baseUrl"`
		}
		if err := s.Decode(&v); err != nil {
			t.Fatal(err)
		}
		bases = append(bases, v.BaseURL)
	}
	if !slices.Equal(bases, want) {
		t.Errorf("asked %q, expected %q", bases, want)
	}
}

// An entry that cannot be read names the file and its place there, whatever its type.
func TestErrorsNameFileAndEntry(t *testing.T) {
	t.Parallel()
	const good = "{type: transfer.config.ocm.software}, {type: unknown}, "
	for entry, read := range map[string]func(c *Config) error{
		"{type: transfer.config.ocm.software/v1alpha1, copyMode: everything}":                                                 func(c *Config) error { _, err := c.Transfer(); return err },
		"{type: filesystem.config.ocm.software, tempFolder: [1]}":                                                             func(c *Config) error { _, err := c.Filesystem(); return err },
		"{type: plugin.config.ocm.software/v2alpha1, idleTimeout: long}":                                                      func(c *Config) error { _, err := c.Plugins(); return err },
		"{type: signing.config.ocm.software, signer: {a: b}}":                                                                 func(c *Config) error { _, _, err := c.Signing("x"); return err },
		"{type: keys.config.ocm.software, publicKeys: {x: {}}}":                                                               func(c *Config) error { _, err := c.Keys(); return err },
		"{type: resolvers.config.ocm.software, resolvers: [{}]}":                                                              func(c *Config) error { _, err := c.Resolvers(); return err },
		"{type: ocm.config.ocm.software, resolvers: [{}]}":                                                                    func(c *Config) error { _, err := c.Resolvers(); return err },
		"{type: ocm.config.ocm.software, aliases: {x: {}}}":                                                                   func(c *Config) error { _, err := c.Aliases(); return err },
		"{type: http.config.ocm.software/v1alpha1, timeout: -1s}":                                                             func(c *Config) error { _, err := Explained(c, HTTPType, (*Config).HTTP); return err },
		"{type: generic.config.ocm.software, configurations: [{type: a}, {type: transfer.config.ocm.software, copyMode: x}]}": func(c *Config) error { _, err := c.Transfer(); return err },
	} {
		c, files := load(t, "type: a", "type: generic.config.ocm.software\nconfigurations: ["+good+entry+"]")
		want := "configuration " + files[1] + ": configurations[2]"
		if strings.Contains(entry, "generic") {
			want += ".configurations[1]"
		}
		if err := read(c); err == nil || !strings.HasPrefix(err.Error(), want+": ") || strings.Count(err.Error(), files[1]) != 1 {
			t.Errorf("%s: expected %q, found %v", entry, want, err)
		}
		if err := read(Merge(&Config{Entries: []ocm.Spec{{Type: "b"}}}, c)); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("%s, merged: expected %q, found %v", entry, want, err)
		}
	}
	c, files := load(t, "{type: ocm.config.ocm.software, resolvers: [{repository: {type: a}}]}", "{type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}}]}")
	if _, err := c.Resolvers(); err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), files[1]) {
		t.Errorf("both kinds of resolvers: %v", err)
	}
}

func TestSetsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sets: {x: {configurations: [{a: b}]}}": "sets[\"x\"].configurations[0] has no type",
		"sets: hunter2":                         "not a list",
		"configurations: [{type: generic.config.ocm.software, configurations: [{a: b}]}]": "configurations[0].configurations[0] has no type",
	} {
		if _, err := Parse([]byte("type: generic.config.ocm.software\n" + text)); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	many := `{"type":"generic.config.ocm.software","sets":{"x":{"configurations":[` + strings.Repeat(`{"type":"a"},`, MaxEntries) + `{"type":"a"}]}}}`
	if _, err := Parse([]byte(many)); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("too many: %v", err)
	}
}

// Sets of one name add up over files, and nobody's sets get lost when configurations are merged.
func TestSetsOfSeveralFiles(t *testing.T) {
	t.Parallel()
	const text = "type: generic.config.ocm.software\nsets: {x: {configurations: [{type: plugin.config.ocm.software/v2alpha1, idleTimeout: %}]}}"
	c, _ := load(t, strings.Replace(text, "%", "2h", 1), strings.Replace(text, "%", "3h", 1))
	c = Merge(c, nil)
	if p, err := c.Plugins(); err != nil || p.IdleTimeout != time.Hour {
		t.Errorf("before: %v, %v", p, err)
	}
	if err := c.Select("x"); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Plugins(); err != nil || p.IdleTimeout != 3*time.Hour || len(c.Entries) != 2 {
		t.Errorf("after: %v, %v", p, err)
	}
}
