// SPDX-License-Identifier: Apache-2.0

// Package config reads .ocmconfig files.
//
// A file is YAML or JSON. Its usual form is a container of typed entries, which may
// contain further containers:
//
//	type: generic.config.ocm.software/v1
//	configurations:
//	- type: credentials.config.ocm.software
//	  consumers: [...]
//	- type: resolvers.config.ocm.software/v1alpha1
//	  resolvers: [...]
//
// [Load] flattens all files into one list of entries; each accessor of [Config]
// merges the entries of its type, by the rules of that type. Type names count with
// and without their version. Entries of types that nobody here understands are
// left alone: other tools and plugins have theirs.
//
// [Lookup] names the places that are searched if no file is given. Nothing is ever
// written. Where other tools write a first configuration that points to Docker's
// one, package credentials consults Docker's file directly as long as no credentials
// are configured.
//
// File names inside of entries, such as those of keys, are relative to the current
// directory, not to the file they stand in.
package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"ocm"
)

// Types of entries, without version.
const (
	GenericType     = "generic.config.ocm.software"
	CredentialsType = "credentials.config.ocm.software"
	MemoryType      = "memory.credentials.config.ocm.software" // holds sets of credentials by name, of the older tool
	ResolversType   = "resolvers.config.ocm.software"
	LegacyType      = "ocm.config.ocm.software" // holds the older kind of resolvers
	SigningType     = "signing.config.ocm.software"
	HTTPType        = "http.config.ocm.software"
	FilesystemType  = "filesystem.config.ocm.software"
	TransferType    = "transfer.config.ocm.software"
	PluginType      = "plugin.config.ocm.software/v2alpha1" // with version: without, it is of another shape
)

// Limits of what is read.
const (
	// MaxFileSize is the greatest size of one file in bytes.
	MaxFileSize = 1 << 20
	// MaxEntries is the greatest number of entries of all files together.
	MaxEntries = 10_000
	// MaxDepth is how deep containers may stand in containers.
	MaxDepth = 16
	// maxPatternSize is the greatest length of a pattern or constraint in bytes.
	maxPatternSize = 1 << 10
)

// Config is the content of all files that were read. It is not changed after [Load]
// and may be used concurrently. The zero value and nil are an empty configuration.
type Config struct {
	// Entries are the typed entries without containers: those of one container in
	// their order, then those of the containers in it; earlier files first.
	Entries []ocm.Spec
	// Files are the files that were read.
	Files []string
	// Origins are the files of the entries, one each; empty where an entry came from no file.
	Origins []string
}

// InFolder lists the files of a folder that other tools read when it is the current one. They are not
// part of [Lookup]: whoever sends an archive could send a configuration with it, and with it the
// keys that the archive is verified with. A program that finds one should say that it did not
// read it.
func InFolder(dir string) []string {
	return []string{filepath.Join(dir, ".ocm/config"), filepath.Join(dir, ".ocmconfig")}
}

// Lookup lists the files that are tried if none is given, in the order in which they are read;
// later ones win. home and exe are the user's home and the program's folder; places below an
// empty one are left out.
func Lookup(getenv func(string) string, home, exe string) []string {
	files := filepath.SplitList(getenv("OCM_CONFIG"))
	add := func(dir string, names ...string) {
		for _, n := range names {
			if dir != "" {
				files = append(files, filepath.Join(dir, n))
			}
		}
	}
	add(getenv("XDG_CONFIG_HOME"), "ocm/config", ".ocmconfig")
	add(home, ".config/ocm/config", ".config/.ocmconfig", ".ocm/config", ".ocmconfig")
	add(exe, ".ocm/config", ".ocmconfig")
	// A file that stands here twice is read once, where it counts most: at the end.
	var unique []string
	for i, f := range files {
		if f != "" && !slices.Contains(files[i+1:], f) {
			unique = append(unique, f)
		}
	}
	return unique
}

// Load reads files in order. With must, all of them must be there; without, those that
// are missing or unreadable are logged and skipped. A file that is there but wrong is
// an error in both cases ([ocm.ErrInvalid], [ocm.ErrLimit]) that names file and line,
// and never shows a value. log may be nil.
func Load(files []string, must bool, log *slog.Logger) (*Config, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Config{}
	for _, f := range files {
		text, err := read(f, must)
		if err != nil && !must && !errors.Is(err, ocm.ErrLimit) {
			level := slog.LevelWarn
			if errors.Is(err, fs.ErrNotExist) {
				level = slog.LevelDebug
			}
			log.Log(context.Background(), level, "configuration file skipped", "file", f, "error", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("configuration %s: %w", f, err)
		}
		if err := c.add(text); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", f, err)
		}
		c.Files = append(c.Files, f)
		for len(c.Origins) < len(c.Entries) {
			c.Origins = append(c.Origins, f)
		}
	}
	for _, e := range c.Entries {
		if !known(e.Type) {
			log.Debug("configuration entry ignored", "type", e.Type)
		}
	}
	return c, nil
}

// Parse reads one document, such as the content of a Kubernetes secret.
func Parse(text []byte) (*Config, error) {
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("configuration has %d bytes, at most %d are accepted: %w", len(text), MaxFileSize, ocm.ErrLimit)
	}
	c := &Config{}
	if err := c.add(text); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// Merge puts the entries of several configurations one after the other.
func Merge(configs ...*Config) *Config {
	all := &Config{}
	for _, c := range configs {
		if c != nil {
			all.Entries = append(all.Entries, c.Entries...)
			all.Files = append(all.Files, c.Files...)
			all.Origins = append(all.Origins, c.Origins...)
			all.Origins = append(all.Origins, make([]string, max(0, len(all.Entries)-len(all.Origins)))...)
		}
	}
	return all
}

// read reads a bounded file. A pipe is fine if it was asked for, but must not block
// everything just because it lies in a place that is looked at.
func read(path string, must bool) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !must && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err == nil && len(text) > MaxFileSize {
		err = fmt.Errorf("more than %d bytes: %w", MaxFileSize, ocm.ErrLimit)
	}
	return text, err
}

// add appends the entries of one document.
func (c *Config) add(text []byte) error {
	root, err := decode(text)
	if err != nil || root.Type == "" && root.Raw == nil {
		return err
	}
	if root.Type == "" {
		return fmt.Errorf("no type, expected %s/v1: %w", GenericType, ocm.ErrInvalid)
	}
	return c.flatten(root, 0)
}

func (c *Config) flatten(s ocm.Spec, depth int) error {
	if !Is(s.Type, GenericType) {
		if len(c.Entries) == MaxEntries {
			return fmt.Errorf("more than %d entries: %w", MaxEntries, ocm.ErrLimit)
		}
		c.Entries = append(c.Entries, s)
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("containers nested more than %d deep: %w", MaxDepth, ocm.ErrLimit)
	}
	var g struct {
		Configurations []ocm.Spec `json:"configurations"`
	}
	if s.Decode(&g) != nil { // its message may quote what it found
		return fmt.Errorf("configurations is not a list of objects with a type: %w", ocm.ErrInvalid)
	}
	for i, e := range g.Configurations {
		if e.Type == "" {
			return fmt.Errorf("configurations[%d] has no type: %w", i, ocm.ErrInvalid)
		}
	}
	for _, containers := range []bool{false, true} {
		for _, e := range g.Configurations {
			if Is(e.Type, GenericType) != containers {
				continue
			}
			if err := c.flatten(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// Is reports whether typ is the type base, with or without version.
func Is(typ, base string) bool {
	return typ == base || typ == base+"/v1" || typ == base+"/v1alpha1"
}

func known(typ string) bool {
	return slices.ContainsFunc([]string{CredentialsType, ResolversType, LegacyType, SigningType, HTTPType, FilesystemType, TransferType, PluginType, KeysType, RootCertsType, MemoryType},
		func(base string) bool { return Is(typ, base) })
}

// Of returns the entries of a type, with or without version, in order.
func (c *Config) Of(base string) []ocm.Spec {
	if c == nil {
		return nil
	}
	var found []ocm.Spec
	for _, e := range c.Entries {
		if Is(e.Type, base) {
			found = append(found, e)
		}
	}
	return found
}

// Credentials returns the entries that package credentials reads.
func (c *Config) Credentials() []ocm.Spec {
	entries, _ := c.CredentialFiles()
	return entries
}

// CredentialFiles is Credentials with the file of each entry.
func (c *Config) CredentialFiles() (entries []ocm.Spec, files []string) {
	if c == nil {
		return nil, nil
	}
	for i, e := range c.Entries {
		if !Is(e.Type, CredentialsType) && !Is(e.Type, MemoryType) {
			continue
		}
		entries, files = append(entries, e), append(files, "")
		if i < len(c.Origins) {
			files[len(files)-1] = c.Origins[i]
		}
	}
	return entries, files
}
