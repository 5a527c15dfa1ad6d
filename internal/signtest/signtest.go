// SPDX-License-Identifier: Apache-2.0

// Package signtest is the contract of signers and verifiers, as tests that run against each of them: in the process, and in a plugin.
package signtest

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ocm"
)

// Case is a signer with a verifier that judges what it makes.
type Case struct {
	Signer   ocm.Signer
	Verifier ocm.Verifier
	Spec     ocm.Spec // of the signer
	Env      *ocm.Env // has keys
	Name     string   // of signatures that there is a key for
	Other    string   // of signatures that there is another key for
	// Unknown is a name without key, for signing and for verifying.
	Unknown string
	// Algorithm is what signatures say; empty: not compared.
	Algorithm string
	// Remote says that it is asked over a connection, so that nothing is done in a context that has ended.
	Remote bool
}

// Run runs the contract.
func Run(t *testing.T, c Case) {
	t.Helper()
	for _, hash := range []string{ocm.SHA256, ocm.SHA512} {
		t.Run("good "+hash, func(t *testing.T) { c.good(t, hash) })
	}
	t.Run("changed digest", c.changedDigest)
	t.Run("changed value", c.changedValue)
	t.Run("another algorithm", c.anotherAlgorithm)
	t.Run("wrong key", c.wrongKey)
	t.Run("no key", c.noKey)
	t.Run("unknown hash", c.unknownHash)
	t.Run("cancelled", c.cancelled)
	t.Run("concurrent", c.concurrent)
}

// Digest is that of a text.
func Digest(hash, text string) ocm.Digest {
	d := ocm.Digest{HashAlgorithm: hash, NormalisationAlgorithm: "jsonNormalisation/v3"}
	if hash == ocm.SHA512 {
		sum := sha512.Sum512([]byte(text))
		d.Value = hex.EncodeToString(sum[:])
		return d
	}
	sum := sha256.Sum256([]byte(text))
	d.Value = hex.EncodeToString(sum[:])
	return d
}

func (c Case) sign(ctx context.Context, name string, d ocm.Digest) (ocm.Signature, error) {
	v, err := c.Signer.Sign(ctx, c.Env, name, d, c.Spec)
	return ocm.Signature{Name: name, Digest: d, Signature: v}, err
}

// signed is a good signature.
func (c Case) signed(t *testing.T) ocm.Signature {
	t.Helper()
	sig, err := c.sign(t.Context(), c.Name, Digest(ocm.SHA256, "something"))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// accepted verifies, and looks at what was found.
func (c Case) accepted(ctx context.Context, sig ocm.Signature) error {
	found, err := c.Verifier.Verify(ctx, c.Env, sig, ocm.Spec{})
	if err != nil {
		return err
	}
	signers := 0
	for _, f := range found {
		if f.Check == "" {
			return fmt.Errorf("a finding of no check: %+v", f)
		}
		if f.Check == ocm.FoundSigner && f.Detail != "" {
			signers++
		}
	}
	if signers != 1 {
		return fmt.Errorf("%d findings tell the signer: %+v", signers, found)
	}
	return nil
}

func (c Case) good(t *testing.T, hash string) {
	sig, err := c.sign(t.Context(), c.Name, Digest(hash, "something"))
	if err != nil {
		t.Fatal(err)
	}
	if v := sig.Signature; v.Value == "" || v.MediaType == "" || c.Algorithm != "" && v.Algorithm != c.Algorithm {
		t.Errorf("%+v, expected the algorithm %q", v, c.Algorithm)
	}
	if err := c.accepted(t.Context(), sig); err != nil {
		t.Error(err)
	}
	if err := c.accepted(t.Context(), sig); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// refused demands that a signature is not good.
func (c Case) refused(t *testing.T, what string, sig ocm.Signature) {
	t.Helper()
	found, err := c.Verifier.Verify(t.Context(), c.Env, sig, ocm.Spec{})
	if !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("%s: %+v %v", what, found, err)
	}
}

func (c Case) changedDigest(t *testing.T) {
	sig := c.signed(t)
	sig.Digest = Digest(ocm.SHA256, "something else")
	c.refused(t, "another digest", sig)
	sig.Digest = Digest(ocm.SHA512, "something")
	c.refused(t, "another hash", sig)
	sig.Digest = ocm.Digest{HashAlgorithm: ocm.SHA256}
	c.refused(t, "no digest", sig)
}

func (c Case) changedValue(t *testing.T) {
	good := c.signed(t)
	value := good.Signature.Value
	flip := func(at int) string {
		b := byte('0')
		if value[at] == b {
			b = '1'
		}
		return value[:at] + string(b) + value[at+1:]
	}
	for what, changed := range map[string]string{
		"one character": flip(len(value) / 2), "the first half": value[:len(value)/2], "nothing": "", "no hex": "!" + value,
		"the wrong text": strings.Repeat("00", 64),
	} {
		sig := good
		sig.Signature.Value = changed
		c.refused(t, what, sig)
	}
}

// anotherAlgorithm is nobody's signature: who is asked must not take it for one of its own.
func (c Case) anotherAlgorithm(t *testing.T) {
	sig := c.signed(t)
	sig.Signature.Algorithm = "NONE"
	c.refused(t, "another algorithm", sig)
}

func (c Case) wrongKey(t *testing.T) {
	sig := c.signed(t)
	sig.Name = c.Other
	c.refused(t, "with the name of another key", sig)
	other, err := c.sign(t.Context(), c.Other, Digest(ocm.SHA256, "something"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.accepted(t.Context(), other); err != nil {
		t.Errorf("by the other key: %v", err)
	}
	other.Name = c.Name
	c.refused(t, "by the other key", other)
}

func (c Case) noKey(t *testing.T) {
	if _, err := c.sign(t.Context(), c.Unknown, Digest(ocm.SHA256, "something")); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("signing: %v", err)
	}
	sig := c.signed(t)
	sig.Name = c.Unknown
	c.refused(t, "without key", sig)
}

func (c Case) unknownHash(t *testing.T) {
	for _, d := range []ocm.Digest{
		{HashAlgorithm: "MD5", Value: "d41d8cd98f00b204e9800998ecf8427e"},
		{HashAlgorithm: "", Value: Digest(ocm.SHA256, "").Value},
		{HashAlgorithm: ocm.SHA256, Value: "zz"},
		{HashAlgorithm: ocm.SHA512, Value: Digest(ocm.SHA256, "").Value},
	} {
		if sig, err := c.sign(t.Context(), c.Name, d); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("signing %+v: %+v %v", d, sig, err)
		}
		sig := c.signed(t)
		sig.Digest = d
		c.refused(t, "digest", sig)
	}
}

// cancelled ends before it begins: it is told as what it is, or it was done.
func (c Case) cancelled(t *testing.T) {
	sig := c.signed(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.sign(ctx, c.Name, sig.Digest); (c.Remote || err != nil) && !errors.Is(err, context.Canceled) {
		t.Errorf("signing: %v", err)
	}
	if _, err := c.Verifier.Verify(ctx, c.Env, sig, ocm.Spec{}); (c.Remote || err != nil) && !errors.Is(err, context.Canceled) {
		t.Errorf("verifying: %v", err)
	}
}

func (c Case) concurrent(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			name := c.Name
			if i%2 == 1 {
				name = c.Other
			}
			sig, err := c.sign(t.Context(), name, Digest(ocm.SHA256, fmt.Sprint("number ", i)))
			if err == nil {
				err = c.accepted(t.Context(), sig)
			}
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wait.Wait()
}
