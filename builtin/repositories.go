// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/componentarchive"
	"ocm/ctf"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// repository is a type of repositories.
type repository struct {
	ocm.Type
	open ocm.RepositoryOpener
}

// repositories are the types of repositories. What is in memory lives as long as the list.
func repositories() []repository {
	memories := &memory.Set{}
	return []repository{
		{ocm.Type{
			Names:  ocm.Versioned("v1", "OCIRepository", "OCI", "oci", "OCIRegistry", "ociRegistry"),
			About:  "A registry, or the part of it below a path.",
			Fields: ocm.FieldsOf(registry{}),
			Can:    []string{"read", "write"},
		}, openRegistry},
		{ocm.Type{
			Names:  ocm.Versioned("v1", "CommonTransportFormat", "CTF", "ctf", "commonTransportFormat"),
			About:  "An archive of any number of component versions: a folder, or a tar archive, compressed or not.",
			Fields: ocm.FieldsOf(archive{}),
			Can:    []string{"read", "write", "list components"},
			Notes:  []string{"A component archive that is named so is read as one."},
		}, openArchive},
		{ocm.Type{
			Names:  ocm.Versioned("v1", "ComponentArchive", "componentArchive", "ca"),
			About:  "An archive of one component version, in the older format: a folder, or a tar archive, compressed by gzip or not.",
			Fields: ocm.FieldsOf(archive{}),
			Can:    []string{"read", "list components"},
			Notes:  []string{"It is only read; a transfer imports it."},
		}, openComponentArchive},
		{ocm.Type{
			Names:  ocm.Versioned("v1", "Memory", "memory"),
			About:  "A repository in memory, which is gone with the program.",
			Fields: ocm.FieldsOf(inMemory{}),
			Can:    []string{"read", "write", "list components"},
		}, openMemory(memories)},
	}
}

type registry struct {
	BaseURL string `json:"baseUrl" need:"yes" about:"[http|https|oci]://host[:port], or without scheme"`
	SubPath string `json:"subPath" about:"path in front of all repositories"`
	Mapping string `json:"componentNameMapping" about:"urlPath (default), or sha256-digest, which is only read"`
}

func openRegistry(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var r registry
	if err := members(s, &r); err != nil {
		return nil, err
	}
	store, err := remote.Open(env, r.BaseURL, r.SubPath, remote.Options{})
	if err != nil {
		return nil, err
	}
	switch r.Mapping {
	case "", "urlPath":
		return oci.NewRepository(store, env), nil
	case "sha256-digest":
		why := fmt.Errorf("componentNameMapping sha256-digest is only read, others would not find what is written: %w", errors.ErrUnsupported)
		return readOnly{oci.NewRepository(hashed{store}, env), why}, nil
	}
	// Another mapping means other repositories: reading would find nothing, writing would hide.
	return nil, fmt.Errorf("repository %s: componentNameMapping %q, known are urlPath and sha256-digest: %w", s.Type, r.Mapping, errors.ErrUnsupported)
}

// hashed is a registry in which the repository of a component has the hash of its name.
type hashed struct{ oci.Store }

func (h hashed) Repo(name string) oci.Repo {
	if component, ok := strings.CutPrefix(name, oci.DescriptorPrefix); ok {
		sum := sha256.Sum256([]byte(component))
		name = oci.DescriptorPrefix + hex.EncodeToString(sum[:])
	}
	return h.Store.Repo(name)
}

// readOnly refuses to write.
type readOnly struct {
	*oci.Repository
	why error
}

func (r readOnly) Draft(context.Context, string, string, ocm.Version) (ocm.Draft, error) {
	return nil, fmt.Errorf("%s: %w", r, r.why)
}

type archive struct {
	FilePath   string      `json:"filePath" need:"yes" about:"file or folder"`
	AccessMode ocm.RawJSON `json:"accessMode" about:"readonly, readwrite, create, or several of them with | in between"`
	FileFormat string      `json:"fileFormat" about:"directory, tar or tgz; must fit to the name of what is written anew"`
}

// members decodes the archive's specification and says what writing it would break, if anything.
func (c *archive) members(s ocm.Spec) (writing, err error) {
	if err := members(s, c); err != nil {
		return nil, err
	}
	if c.FilePath == "-" { // who asks here does not say whether it is to be read or written
		return nil, fmt.Errorf("repository %s: filePath \"-\": a pipe cannot be named here, and a file of this name is ./-: %w", s.Type, ocm.ErrInvalid)
	}
	if writing, err = c.mode(); err != nil {
		return nil, fmt.Errorf("repository %s: %w", s.Type, err)
	}
	switch c.FileFormat {
	case "", "directory", "tar", "tgz":
	default:
		return nil, fmt.Errorf("repository %s: fileFormat %.80q, known are directory, tar and tgz: %w", s.Type, c.FileFormat, ocm.ErrInvalid)
	}
	_, absent := os.Stat(c.FilePath)
	if named := formatOf(c.FilePath); writing == nil && c.FileFormat != "" && c.FileFormat != named && errors.Is(absent, os.ErrNotExist) {
		writing = fmt.Errorf("fileFormat %s: by its name it would be written as %s, which other tools could not tell: %w", c.FileFormat, named, ocm.ErrInvalid)
	}
	return writing, nil
}

// mode understands the words. What the numbers mean, in which older tools wrote it, depends on the tool, so that
// there is no writing with one of them.
func (c *archive) mode() (writing, err error) {
	if len(c.AccessMode) == 0 || string(c.AccessMode) == "null" {
		return nil, nil
	}
	if c.AccessMode.Kind() == '0' {
		return fmt.Errorf("accessMode %.20s: to some tools that is readonly, to others readwrite; write the word: %w", c.AccessMode, ocm.ErrInvalid), nil
	}
	var words string
	if err := jsonv2.Unmarshal(c.AccessMode, &words); err != nil {
		return nil, fmt.Errorf("accessMode: expected readonly, readwrite or create: %w", ocm.ErrInvalid)
	}
	only := words != ""
	for word := range strings.SplitSeq(words, "|") {
		switch strings.TrimSpace(word) {
		case "readonly", "":
		case "readwrite", "create":
			only = false
		default:
			return nil, fmt.Errorf("accessMode %.80q: expected readonly, readwrite or create: %w", words, ocm.ErrInvalid)
		}
	}
	if only {
		writing = fmt.Errorf("accessMode %s: %w", words, ocm.ErrDenied)
	}
	return writing, nil
}

// formatOf is the format that the name of an archive asks for.
func formatOf(path string) string {
	switch {
	case strings.HasSuffix(path, ".tgz"), strings.HasSuffix(path, ".tar.gz"):
		return "tgz"
	case strings.HasSuffix(path, ".tar"):
		return "tar"
	}
	return "directory"
}

// openArchive opens a CTF. A component archive, which many call by the same short names, is told by what is in it.
func openArchive(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var c archive
	forbidden, err := c.members(s)
	if err != nil {
		return nil, err
	}
	if componentarchive.Found(c.FilePath) {
		return componentarchive.Open(c.FilePath)
	}
	store, err := ctf.Open(c.FilePath)
	if errors.Is(err, ctf.ErrNoIndex) {
		r, other := componentarchive.Open(c.FilePath)
		if errors.Is(other, componentarchive.ErrNoDescriptor) {
			return nil, err
		}
		if other != nil {
			return nil, fmt.Errorf("%w; and neither is it a component archive: %w", err, other)
		}
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if env != nil && env.Durable {
		store.Durable()
	}
	repo := oci.NewRepository(store, env)
	if forbidden == nil {
		return repo, nil
	}
	return readOnly{repo, forbidden}, nil //nolint:nilerr // it is the error of writing
}

func openComponentArchive(_ context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var c archive
	if _, err := c.members(s); err != nil {
		return nil, err
	}
	return componentarchive.Open(c.FilePath)
}

type inMemory struct {
	Name string `json:"name" need:"yes" about:"which one: each name is a repository of its own"`
}

func openMemory(all *memory.Set) ocm.RepositoryOpener {
	return func(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
		var m inMemory
		if err := members(s, &m); err != nil {
			return nil, err
		}
		return oci.NewRepository(all.Open(m.Name), env), nil
	}
}

// members decodes a specification, and says that it is one of a repository.
func members(s ocm.Spec, v any) error {
	if err := s.Members(v); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	return nil
}
