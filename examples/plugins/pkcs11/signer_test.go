// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/credentials"
	"ocm/internal/signtest"
)

// broken is a token that signs something, and shows some key.
type broken struct {
	raw    []byte
	public crypto.PublicKey
}

func (b broken) sign(context.Context, string, string, string, crypto.Hash, []byte) ([]byte, crypto.PublicKey, error) {
	return b.raw, b.public, nil
}

// What does not fit the token's own public key is no signature.
func TestBrokenToken(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	env := &ocm.Env{Credentials: credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": identityType}, Secret: ocm.Secret{"pin": "1"}})}
	spec, err := ocm.NewSpec(config{Type: configTypes[0], Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]broken{
		"nothing": {nil, &key.PublicKey}, "one byte": {[]byte{1}, &key.PublicKey}, "zeros": {make([]byte, 64), &key.PublicKey},
		"another signature": {[]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), &key.PublicKey},
		"no key":            {make([]byte, 64), nil},
	} {
		v, err := (&signer{b}).Sign(t.Context(), env, "one", signtest.Digest(ocm.SHA256, "x"), spec)
		if !errors.Is(err, ocm.ErrSignature) && !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %+v %v", name, v, err)
		}
	}
}

// A module is named by an absolute path, or one of the folders in which libraries are looked for would choose it.
func TestModuleIsNamed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"": "expected the absolute path", "libsofthsm2.so": "expected the absolute path", "./libsofthsm2.so": "expected the absolute path",
		"/does/not/exist.so": "cannot be loaded",
	} {
		raw, _, err := newModule(path).sign(t.Context(), "t", "1", "k", crypto.SHA256, make([]byte, 32))
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %x %v", path, raw, err)
		}
	}
}
