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
// left alone: other tools and plugins have theirs. An entry that cannot be read is an error of the
// accessor that needs it, which names the file and the entry.
//
// A container may hold sets too, as the older tool has them: entries under a name that count only
// if they are asked for, see [Config.Select].
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
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

	origins []origin // of the entries, as far as they are known
	sets    map[string]*Config
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
		if err := c.add(text, f); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", f, err)
		}
		c.Files = append(c.Files, f)
	}
	c.tell(log)
	return c, nil
}

// tell says what is not going to have an effect.
func (c *Config) tell(log *slog.Logger) {
	for i, e := range c.Entries {
		if why := ignored(e.Type); why != "" {
			log.Debug("configuration entry ignored", "type", e.Type, "in", c.origin(i), "why", why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.sets)) {
		log.Debug("configuration set counts only if it is asked for", "set", name)
	}
}

// Select lets the entries of a set count, after all others. [ocm.ErrNotFound] names the sets that there are.
func (c *Config) Select(set string) error {
	found := c.sets[set]
	if found == nil {
		known := "there is none"
		if len(c.sets) > 0 {
			known = "known: " + strings.Join(slices.Sorted(maps.Keys(c.sets)), ", ")
		}
		return fmt.Errorf("configuration set %.80q: %w (%s)", set, ocm.ErrNotFound, known)
	}
	c.append(found)
	return nil
}

// Parse reads one document, such as the content of a Kubernetes secret.
func Parse(text []byte) (*Config, error) {
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("configuration has %d bytes, at most %d are accepted: %w", len(text), MaxFileSize, ocm.ErrLimit)
	}
	c := &Config{}
	if err := c.add(text, ""); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// Merge puts the entries of several configurations one after the other.
func Merge(configs ...*Config) *Config {
	all := &Config{}
	for _, c := range configs {
		if c == nil {
			continue
		}
		all.append(c)
		all.Files = append(all.Files, c.Files...)
		for name, set := range c.sets {
			all.set(name).append(set)
		}
	}
	return all
}

// append adds the entries of another configuration.
func (c *Config) append(more *Config) {
	for i, e := range more.Entries {
		c.entry(e, more.origin(i))
	}
}

func (c *Config) entry(s ocm.Spec, o origin) {
	for len(c.origins) < len(c.Entries) {
		c.origins = append(c.origins, origin{}) // entries that a program has put there
	}
	c.Entries, c.origins = append(c.Entries, s), append(c.origins, o)
}

// set returns the set of a name, a new one if there is none.
func (c *Config) set(name string) *Config {
	if c.sets == nil {
		c.sets = map[string]*Config{}
	}
	if c.sets[name] == nil {
		c.sets[name] = &Config{}
	}
	return c.sets[name]
}

// origin is where an entry comes from: a file, and a path in it, which is empty for its root.
type origin struct{ file, path string }

// origin is empty if it is not known.
func (c *Config) origin(i int) origin {
	if i < len(c.origins) {
		return c.origins[i]
	}
	return origin{}
}

func (o origin) String() string { return strings.TrimSuffix(o.file+": "+o.path, ": ") }

// within is what the path of a member is put behind.
func (o origin) within() string {
	switch {
	case o.file == "":
		return ""
	case o.path == "":
		return o.file + ": "
	}
	return o.file + ": " + o.path + "."
}

// places tells where the entries of a type are, for messages.
func (c *Config) places(base string) string {
	var all []string
	for i, e := range c.Entries {
		if at := c.origin(i); Is(e.Type, base) && at.file != "" {
			all = append(all, at.String())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// Explained is what read makes of a configuration. Its error says which entry of the type base it is about: the
// file, and the place in it.
func Explained[T any](c *Config, base string, read func(*Config) (T, error)) (T, error) {
	v, err := read(c)
	if err == nil || c == nil {
		return v, err
	}
	for i, e := range c.Entries {
		if c.origin(i).file == "" || !Is(e.Type, base) {
			continue
		}
		if _, alone := read(&Config{Entries: c.Entries[i : i+1]}); alone != nil {
			return v, fmt.Errorf("configuration %s: %w", c.origin(i), alone)
		}
	}
	return v, err
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

// add appends the entries of one document, which comes from file.
func (c *Config) add(text []byte, file string) error {
	root, err := decode(text)
	if err != nil || root.Type == "" && root.Raw == nil {
		return err
	}
	if root.Type == "" {
		return fmt.Errorf("no type, expected %s/v1: %w", GenericType, ocm.ErrInvalid)
	}
	f := flattener{left: MaxEntries - c.count(), file: file}
	return f.add(c, root, "", 0)
}

// count is the number of all entries.
func (c *Config) count() int {
	n := len(c.Entries)
	for _, set := range c.sets {
		n += len(set.Entries)
	}
	return n
}

// flattener takes entries out of their containers.
type flattener struct {
	left int // entries that are still accepted
	file string
}

// add adds an entry, or what is in a container, to c; at is its place in the file.
func (f *flattener) add(c *Config, s ocm.Spec, at string, depth int) error {
	if !Is(s.Type, GenericType) {
		if f.left--; f.left < 0 {
			return fmt.Errorf("more than %d entries: %w", MaxEntries, ocm.ErrLimit)
		}
		c.entry(s, origin{f.file, at})
		return nil
	}
	if depth == MaxDepth {
		return fmt.Errorf("containers nested more than %d deep: %w", MaxDepth, ocm.ErrLimit)
	}
	var g struct {
		Configurations []ocm.Spec `json:"configurations"`
		Sets           map[string]struct {
			Configurations []ocm.Spec `json:"configurations"`
		} `json:"sets"`
	}
	if at != "" {
		at += "."
	}
	if s.Decode(&g) != nil { // its message may quote what it found
		return fmt.Errorf("%sconfigurations, or one of its sets, is not a list of objects with a type: %w", at, ocm.ErrInvalid)
	}
	if err := f.list(c, g.Configurations, at+"configurations", depth); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(g.Sets)) {
		place := fmt.Sprintf("%ssets[%.80q].configurations", at, name)
		if err := f.list(c.set(name), g.Sets[name].Configurations, place, depth); err != nil {
			return err
		}
	}
	return nil
}

// list adds what stands in a container: first the entries, then what is in the containers among them.
func (f *flattener) list(c *Config, entries []ocm.Spec, at string, depth int) error {
	for i, e := range entries {
		if e.Type == "" {
			return fmt.Errorf("%s[%d] has no type: %w", at, i, ocm.ErrInvalid)
		}
	}
	for _, containers := range []bool{false, true} {
		for i, e := range entries {
			if Is(e.Type, GenericType) != containers {
				continue
			}
			if err := f.add(c, e, fmt.Sprintf("%s[%d]", at, i), depth+1); err != nil {
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

// ignored says why entries of a type have no effect; empty if they have one.
func ignored(typ string) string {
	is := func(base string) bool { return Is(typ, base) }
	switch {
	case slices.ContainsFunc([]string{CredentialsType, ResolversType, LegacyType, SigningType, HTTPType, FilesystemType, TransferType, PluginType, PluginRegistryType, KeysType, RootCertsType, MemoryType}, is):
		return ""
	case slices.ContainsFunc([]string{
		"attributes.config.ocm.software", "hasher.config.ocm.software",
		"merge.config.ocm.software", "oci.config.ocm.software", "uploader.ocm.config.ocm.software",
		"downloader.ocm.config.ocm.software", "scripts.ocm.config.ocm.software", "transport.ocm.config.ocm.software",
		"logging.config.ocm.software", "cli.ocm.config.ocm.software", "plugin.config.ocm.software",
		"blobLimits.ocireg.ocm.config.ocm.software", "preferrepositories.config.ocm.software",
	}, is):
		return "it is for the older tool"
	case is("extract.oci.artifact.ocm.software"), is("versioncheck.cli.config.ocm.software"):
		return "it is for another tool, and has no counterpart here"
	}
	return "nobody here understands this type"
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
	entries, _ := c.CredentialPlaces()
	return entries
}

// CredentialPlaces is Credentials with the place of each entry: what the path of a member of it is put behind,
// such as "FILE: " and "FILE: configurations[0].".
func (c *Config) CredentialPlaces() (entries []ocm.Spec, places []string) {
	if c == nil {
		return nil, nil
	}
	for i, e := range c.Entries {
		if !Is(e.Type, CredentialsType) && !Is(e.Type, MemoryType) {
			continue
		}
		entries, places = append(entries, e), append(places, c.origin(i).within())
	}
	return entries, places
}
