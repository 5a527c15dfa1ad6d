// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// Signing returns the configurations of signer and verifier for a signature. Entries
// without a signature name are the base, those for this name come on top; later ones
// win, signer and verifier each for itself. What is not configured is the zero Spec.
// [ocm.ErrInvalid] if any entry, whatever its name, cannot be read or has no type.
func (c *Config) Signing(name string) (signer, verifier ocm.Spec, err error) {
	all, err := c.signing(name)
	for _, e := range all {
		if e.Signer.Type != "" {
			signer = e.Signer
		}
		if e.Verifier.Type != "" {
			verifier = e.Verifier
		}
	}
	return signer, verifier, err
}

// Verifiers returns all configurations of verifiers for a signature, that which wins in [Config.Signing] first. Those of
// different kinds of signatures do not replace each other: of each kind the first one counts.
func (c *Config) Verifiers(name string) ([]ocm.Spec, error) {
	all, err := c.signing(name)
	var specs []ocm.Spec
	for _, e := range slices.Backward(all) {
		if e.Verifier.Type != "" {
			specs = append(specs, e.Verifier)
		}
	}
	return specs, err
}

type signingEntry struct {
	Signature string   `json:"signature"`
	Signer    ocm.Spec `json:"signer"`
	Verifier  ocm.Spec `json:"verifier"`
}

// signing are the entries for a signature, the one that wins last.
func (c *Config) signing(name string) ([]signingEntry, error) {
	return Explained(c, SigningType, func(c *Config) ([]signingEntry, error) { return c.signingEntries(name) })
}

func (c *Config) signingEntries(name string) ([]signingEntry, error) {
	var base, scoped []signingEntry
	for _, s := range c.Of(SigningType) {
		var e signingEntry
		if err := s.Decode(&e); err != nil {
			return nil, err
		}
		for member, spec := range map[string]ocm.Spec{"signer": e.Signer, "verifier": e.Verifier} {
			if spec.Type == "" && len(spec.Raw) > 0 {
				return nil, fmt.Errorf("%s: %s has no type: %w", s.Type, member, ocm.ErrInvalid)
			}
		}
		switch e.Signature {
		case "":
			base = append(base, e)
		case name:
			scoped = append(scoped, e)
		}
	}
	return append(base, scoped...), nil
}

// Filesystem names folders; empty means the system's default.
type Filesystem struct {
	TempFolder       string `json:"tempFolder"`
	WorkingDirectory string `json:"workingDirectory"`
}

// Filesystem returns the configured folders; later entries win.
func (c *Config) Filesystem() (Filesystem, error) {
	return Explained(c, FilesystemType, (*Config).filesystem)
}

func (c *Config) filesystem() (Filesystem, error) {
	var all Filesystem
	for _, s := range c.Of(FilesystemType) {
		var f Filesystem
		if err := s.Decode(&f); err != nil {
			return all, err
		}
		replace(&all.TempFolder, f.TempFolder)
		replace(&all.WorkingDirectory, f.WorkingDirectory)
	}
	return all, nil
}

// Values of [Transfer].
const (
	CopyLocalBlobs    = "localBlob"
	CopyAllResources  = "allResources"
	UploadLocalBlob   = "localBlob"
	UploadOCIArtifact = "ociArtifact"
)

// Transfer holds the defaults of transfers.
type Transfer struct {
	Recursive  bool
	CopyMode   string // CopyLocalBlobs (default) or CopyAllResources
	UploadType string // UploadLocalBlob (default) or UploadOCIArtifact
	Rules      []TransferRule
}

// TransferRule says what becomes of resources that are copied. Of several rules the first one that matches counts.
type TransferRule struct {
	Match       TransferMatch `json:"match,omitzero"`
	Transformer *ocm.Spec     `json:"transformer,omitempty"` // makes other content of it before it is stored
	Uploader    *ocm.Spec     `json:"uploader,omitempty"`    // stores it somewhere else than beside its descriptor
}

// TransferMatch says which resources a rule is for: all of what it names must match. Name, type and media type are patterns, in which
// * stays within one element of a name and ** does not.
type TransferMatch struct {
	Name         string `json:"name,omitempty" about:"pattern of the names of resources"`
	ResourceType string `json:"resourceType,omitempty" about:"pattern of their types"`
	AccessType   string `json:"accessType,omitempty" about:"type of the access that they have at the source; all names of a type are the same"`
	MediaType    string `json:"mediaType,omitempty" about:"pattern of the media type of their content"`
}

// UnmarshalJSON refuses members that are not known: a rule with a misspelt one would match too much.
func (r *TransferRule) UnmarshalJSON(raw []byte) error {
	type plain TransferRule
	if err := jsonv2.Unmarshal(raw, (*plain)(r), jsonv2.RejectUnknownMembers(true)); err != nil {
		return err
	}
	switch {
	case r.Transformer == nil && r.Uploader == nil:
		return fmt.Errorf("a rule has neither transformer nor uploader: %w", ocm.ErrInvalid)
	case r.Transformer != nil && r.Transformer.Type == "", r.Uploader != nil && r.Uploader.Type == "":
		return fmt.Errorf("the transformer or uploader of a rule has no type: %w", ocm.ErrInvalid)
	}
	return nil
}

// Transfer returns the defaults of transfers; later entries win where they say something
// else than the default. The rules of all entries count, in their order.
func (c *Config) Transfer() (Transfer, error) { return Explained(c, TransferType, (*Config).transfer) }

func (c *Config) transfer() (Transfer, error) {
	all := Transfer{CopyMode: CopyLocalBlobs, UploadType: UploadLocalBlob}
	for _, s := range c.Of(TransferType) {
		var t struct {
			Recursive  int    `json:"recursive"`
			CopyMode   string `json:"copyMode"`
			UploadType string `json:"uploadType"`

			Rules []TransferRule `json:"rules"`
		}
		if err := s.Decode(&t); err != nil {
			return all, err
		}
		if t.Recursive != 0 && t.Recursive != -1 {
			return all, fmt.Errorf("%s: recursive is %d, expected 0 (no) or -1 (all levels): %w", s.Type, t.Recursive, ocm.ErrInvalid)
		}
		if t.CopyMode != "" && t.CopyMode != CopyLocalBlobs && t.CopyMode != CopyAllResources {
			return all, fmt.Errorf("%s: copyMode %q, expected %s or %s: %w", s.Type, t.CopyMode, CopyLocalBlobs, CopyAllResources, ocm.ErrInvalid)
		}
		if t.UploadType != "" && t.UploadType != UploadLocalBlob && t.UploadType != UploadOCIArtifact {
			return all, fmt.Errorf("%s: uploadType %q, expected %s or %s: %w", s.Type, t.UploadType, UploadLocalBlob, UploadOCIArtifact, ocm.ErrInvalid)
		}
		all.Recursive = all.Recursive || t.Recursive != 0
		all.Rules = append(all.Rules, t.Rules...)
		if t.CopyMode != CopyLocalBlobs {
			replace(&all.CopyMode, t.CopyMode)
		}
		if t.UploadType != UploadLocalBlob {
			replace(&all.UploadType, t.UploadType)
		}
	}
	return all, nil
}

func replace(old *string, by string) {
	if by != "" {
		*old = by
	}
}

// duration is written as Go writes it: "1m30s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}
