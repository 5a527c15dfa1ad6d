// SPDX-License-Identifier: Apache-2.0

package installed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
)

// Limits of what is read in a folder of plugins.
const (
	MaxRecord   = 256 << 10 // bytes of a record
	MaxProgram  = 1 << 30   // bytes of a plugin
	MaxPrograms = 256       // in a folder
)

// Record is what is remembered of an installed plugin. It stands beside the program, in .NAME.json.
type Record struct {
	Component  string       `json:"component"`
	Version    string       `json:"version"`
	Repository string       `json:"repository"`         // in which the component version was found
	Registry   string       `json:"registry,omitempty"` // the registry of plugins that led to it, name:version; empty: none did
	Resource   ocm.Identity `json:"resource"`
	// Digest is that of the program. It is run only as long as it has it.
	Digest digest.Digest `json:"digest"`
	// Previous is set while one program is replaced by another: whichever of them is there is right.
	Previous digest.Digest `json:"previous,omitempty"`
	// Verified says that Signatures were good, and covered the program.
	Verified   bool        `json:"verified"`
	Signatures []Signature `json:"signatures,omitempty"`
	Installed  time.Time   `json:"installed"`
}

// Signature is one that was found good when a plugin was installed.
type Signature struct {
	Of        string    `json:"of"` // the component version that is signed: the plugin's own, or that of its registry
	Name      string    `json:"name"`
	Algorithm string    `json:"algorithm"`
	Signer    string    `json:"signer"`
	Time      time.Time `json:"time,omitzero"` // when it was signed, if somebody who is trusted says so
}

// name is what plugins may be called: it becomes a file, and must not be hidden or lead anywhere else.
var name = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$`)

// CheckName refuses what is no good name for a plugin: [ocm.ErrInvalid].
func CheckName(s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("%.100q is no name for a plugin: expected at most 100 letters, digits and _ . + -, the first of them a letter, a digit or _: %w", s, ocm.ErrInvalid)
	}
	return nil
}

func recordOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".json")
}

// Read reads the record of a program. [ocm.ErrNotFound] if there is none: then somebody has put it there by other means.
// [ocm.ErrInvalid] if what is in its place is none, [ocm.ErrLimit] if it is larger than [MaxRecord].
func Read(path string) (*Record, error) {
	at := recordOf(path)
	info, err := os.Lstat(at) // a link that leads nowhere is no record that is missing
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: it was not installed as a component: %w", path, ocm.ErrNotFound)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: expected a regular file, found %s: %w", at, info.Mode(), ocm.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxRecord+1))
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return r, nil
}

func parseRecord(raw []byte) (*Record, error) {
	if len(raw) > MaxRecord {
		return nil, fmt.Errorf("more than %d bytes: %w", MaxRecord, ocm.ErrLimit)
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	if err := blob.CheckDigest(r.Digest); err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	if r.Previous != "" {
		if err := blob.CheckDigest(r.Previous); err != nil {
			return nil, fmt.Errorf("previous: %w", err)
		}
	}
	return &r, nil
}

// write puts the record of a program into place, whole or not at all.
func (r Record) write(path string) error {
	raw, err := json.Marshal(r, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".record-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(raw, '\n'))
	// Whoever may run the program has to read what it is compared with.
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), recordOf(path))
}

// Matches compares the digest of a program with the record. [ocm.ErrDigest] if it is not what was installed.
func (r *Record) Matches(found digest.Digest) error {
	if found == r.Digest || r.Previous != "" && found == r.Previous {
		return nil
	}
	return fmt.Errorf("it is not what was installed from %s:%s: expected %s, found %s; install it again, or remove it (ocm plugin remove): %w",
		r.Component, r.Version, r.Digest, found, ocm.ErrDigest)
}

// Check compares a program with its record, and returns that: what was changed since it was installed must not be run.
// [ocm.ErrDigest] then, [ocm.ErrInvalid] if the record cannot be read. A program without a record was put there by other means; nothing
// is known of it, which is no error and no record.
func Check(path string) (*Record, error) {
	f, err := openProgram(path)
	if err != nil {
		r, _ := Read(path)
		return r, err
	}
	defer f.Close()
	return Compare(path, f)
}

// Compare is [Check] for a program that is open: of what is run, and not of what its path leads to later. It is read only if there is a
// record.
func Compare(path string, program io.Reader) (*Record, error) {
	r, err := Read(path)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := digest.SHA256.FromReader(program)
	if err != nil {
		return r, err
	}
	return r, r.Matches(found)
}

// digestOf hashes a program.
func digestOf(path string) (digest.Digest, error) {
	f, err := openProgram(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest.SHA256.FromReader(f)
}

// openProgram opens a file. Opening a pipe would wait for whoever writes into it.
func openProgram(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: expected a regular file, found %s: %w", path, info.Mode(), ocm.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}
