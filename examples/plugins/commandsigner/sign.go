// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ocm"
)

const (
	parallel     = 8        // commands at once
	maxSignature = 64 << 10 // bytes that a command may write
	maxMessage   = 1 << 10  // bytes of its standard error that are shown
)

// signer runs the configured commands.
type signer struct {
	c       config
	folder  string
	timeout time.Duration
	running chan struct{}
}

// verifier is a signer that has a command to verify with.
type verifier struct{ *signer }

// Sign has the digest signed. [ocm.ErrNotFound] if there is no key for the name.
func (s *signer) Sign(ctx context.Context, _ *ocm.Env, name string, d ocm.Digest, spec ocm.Spec) (ocm.SignatureValue, error) {
	raw, err := s.run(ctx, s.c.Sign, name, d, spec, "")
	if err == nil && len(raw) == 0 {
		err = fmt.Errorf("the command wrote no signature: %w", ocm.ErrInvalid)
	}
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q: %w", name, err)
	}
	return ocm.SignatureValue{Algorithm: s.c.Algorithm, MediaType: s.c.MediaType, Value: hex.EncodeToString(raw)}, nil
}

// Verify has a signature judged. Every error wraps [ocm.ErrSignature].
func (v verifier) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, spec ocm.Spec) ([]ocm.Finding, error) {
	if err := v.judge(ctx, env, sig, spec); err != nil {
		return nil, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return []ocm.Finding{
		{Check: ocm.FoundValue, Detail: filepath.Base(v.c.Verify[0])},
		{Check: ocm.FoundSigner, Detail: fmt.Sprintf("who has the key %q of the plugin commandsigner", v.c.Keys[sig.Name])},
	}, nil
}

func (v verifier) judge(ctx context.Context, env *ocm.Env, sig ocm.Signature, spec ocm.Spec) error {
	if sig.Signature.Algorithm != v.c.Algorithm {
		return fmt.Errorf("algorithm %.100q, expected %s: %w", sig.Signature.Algorithm, v.c.Algorithm, ocm.ErrInvalid)
	}
	raw, err := hex.DecodeString(sig.Signature.Value)
	if err != nil || len(raw) == 0 || len(raw) > maxSignature {
		return fmt.Errorf("its value is not the hex text of 1 to %d bytes: %w", maxSignature, ocm.ErrInvalid)
	}
	dir, err := os.MkdirTemp(env.TempDir(), "signature-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "signature")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	_, err = v.run(ctx, v.c.Verify, sig.Name, sig.Digest, spec, file)
	return err
}

// run runs a command for a digest and returns what it writes. What comes from outside becomes an argument nowhere: the key is what the
// configuration has for a name, the hash one of three words.
func (s *signer) run(ctx context.Context, command []string, name string, d ocm.Digest, spec ocm.Spec, signature string) ([]byte, error) {
	if err := onlyType(spec); err != nil {
		return nil, err
	}
	hash, sum, err := digest(d)
	if err != nil {
		return nil, err
	}
	key, ok := s.c.Keys[name]
	if !ok {
		return nil, fmt.Errorf("no key is configured for the signature %.100q: %w", name, ocm.ErrNotFound)
	}
	fill := strings.NewReplacer("{key}", key, "{hash}", hash, "{signature}", signature)
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = fill.Replace(arg)
	}
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return s.start(ctx, args, sum)
}

func (s *signer) start(ctx context.Context, args []string, sum []byte) ([]byte, error) {
	timed, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cmd := exec.CommandContext(timed, args[0], args[1:]...) //nolint:gosec // that is what the plugin is for; see load
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.folder, []string{"PATH=" + os.Getenv("PATH")}, time.Second
	out, message := &bounded{limit: maxSignature, full: cancel}, &bounded{limit: maxMessage}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(sum), out, message
	err := cmd.Run()
	switch {
	case out.more:
		return nil, fmt.Errorf("%s wrote more than %d bytes: %w", args[0], maxSignature, ocm.ErrLimit)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case timed.Err() != nil:
		return nil, fmt.Errorf("%s did not end within %s: %w", args[0], s.timeout, context.DeadlineExceeded)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(message.kept))
	}
	return out.kept, nil
}

// onlyType refuses a configuration that says more than its type: it may have been meant to restrict something, and it must not choose
// what is run.
func onlyType(spec ocm.Spec) error {
	members := map[string]ocm.RawJSON{}
	if err := spec.Decode(&members); err != nil {
		return err
	}
	delete(members, "type")
	if len(members) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(members)))
		return fmt.Errorf("type %s: unknown field %.100q: what is run is configured beside the plugin: %w", spec.Type, name, ocm.ErrInvalid)
	}
	return nil
}

// digest reads the hash and the bytes of a digest.
func digest(d ocm.Digest) (hash string, sum []byte, err error) {
	hash, ok := map[string]string{ocm.SHA256: "sha256", "SHA-384": "sha384", ocm.SHA512: "sha512"}[d.HashAlgorithm]
	sizes := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}
	if !ok {
		return "", nil, fmt.Errorf("hash algorithm %.100q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	if sum, err = hex.DecodeString(d.Value); err != nil || len(sum) != sizes[hash] {
		return "", nil, fmt.Errorf("the digest is not the hex text of %d bytes: %w", sizes[hash], ocm.ErrInvalid)
	}
	return hash, sum, nil
}

// bounded keeps so many bytes. What comes behind them is an error if full is there, which ends the command, and else is left out.
type bounded struct {
	kept  []byte
	limit int
	full  func()
	more  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := min(b.limit-len(b.kept), len(p))
	b.kept = append(b.kept, p[:room]...)
	if room == len(p) {
		return room, nil
	}
	b.more = true
	if b.full == nil {
		return len(p), nil
	}
	b.full()
	return room, errors.New("more than is accepted")
}
