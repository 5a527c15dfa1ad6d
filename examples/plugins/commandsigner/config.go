// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// maxConfig bounds the file beside the plugin, in bytes.
const maxConfig = 64 << 10

// config is the file beside the plugin.
type config struct {
	Type      string            `json:"type"`      // of the signer's configuration; default CommandSigningConfiguration/v1
	Algorithm string            `json:"algorithm"` // as in signatures
	MediaType string            `json:"mediaType"` // default application/vnd.ocm.signature.command
	Keys      map[string]string `json:"keys"`      // by the name of the signature: what {key} stands for
	Sign      []string          `json:"sign"`      // command and arguments
	Verify    []string          `json:"verify"`    // empty: others judge
	Timeout   string            `json:"timeout"`   // of one command; default 30s
}

// load reads the configuration. One that others may write is refused: they would say what is run. So is a member that is not known, which
// may be a misspelt restriction.
func load(path string) (*signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s: mode %v, but nobody beside its owner may write it (chmod go-w): %w", path, info.Mode().Perm(), ocm.ErrDenied)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("%s: more than %d bytes: %w", path, maxConfig, ocm.ErrLimit)
	}
	s := &signer{
		c:       config{Type: "CommandSigningConfiguration/v1", MediaType: "application/vnd.ocm.signature.command", Timeout: "30s"},
		folder:  filepath.Dir(path),
		running: make(chan struct{}, parallel),
	}
	if err := json.Unmarshal(raw, &s.c, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, ocm.ErrInvalid)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *signer) check() (err error) {
	if s.c.Algorithm == "" || s.c.Type == "" || s.c.MediaType == "" {
		return fmt.Errorf("algorithm, type or mediaType is missing: %w", ocm.ErrInvalid)
	}
	if s.timeout, err = time.ParseDuration(s.c.Timeout); err != nil || s.timeout <= 0 {
		return fmt.Errorf("timeout %q is none, expected one such as 30s: %w", s.c.Timeout, ocm.ErrInvalid)
	}
	for name, command := range map[string][]string{"sign": s.c.Sign, "verify": s.c.Verify} {
		if name == "verify" && len(command) == 0 {
			continue
		}
		// A name would be looked for in the folders of PATH, which may be anybody's.
		if len(command) == 0 || !filepath.IsAbs(command[0]) {
			return fmt.Errorf("%s: expected the absolute path of a command, and its arguments: %w", name, ocm.ErrInvalid)
		}
	}
	return nil
}
