// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	stdrsa "crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"

	"github.com/miekg/pkcs11"

	"ocm"
)

// module is a [token]: all tokens of a PKCS#11 module. One call at a time uses it, because who is logged in is a matter of the whole
// process: each call shows its own PIN, and none profits from that of another.
type module struct {
	path string
	free chan struct{}
	p    *pkcs11.Ctx // nil: not loaded
}

// newModule returns a module, which is loaded when it is used.
func newModule(path string) token {
	m := &module{path: path, free: make(chan struct{}, 1)}
	m.free <- struct{}{}
	return m
}

func (m *module) sign(ctx context.Context, token, pin, key string, hash crypto.Hash, sum []byte) (raw []byte, public crypto.PublicKey, err error) {
	select {
	case <-m.free:
		defer func() { m.free <- struct{}{} }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if err := m.load(); err != nil {
		return nil, nil, err
	}
	slot, err := m.slot(token)
	if err != nil {
		return nil, nil, err
	}
	h, err := m.p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return nil, nil, err
	}
	s := session{m.p, h}
	defer func() { _ = s.p.CloseSession(s.h) }()
	if err := s.login(pin); err != nil {
		return nil, nil, err
	}
	defer func() { _ = s.p.Logout(s.h) }()
	if public, err = s.public(key); err != nil {
		return nil, nil, err
	}
	raw, err = s.sign(key, public, hash, sum)
	if err == nil {
		err = ctx.Err() // a token cannot be interrupted
	}
	return raw, public, err
}

func (m *module) load() error {
	if m.p != nil {
		return nil
	}
	if !filepath.IsAbs(m.path) {
		return fmt.Errorf("the variable PKCS11_MODULE of the plugin's environment is %.200q, expected the absolute path of a module: %w", m.path, ocm.ErrInvalid)
	}
	p := pkcs11.New(m.path)
	if p == nil {
		return fmt.Errorf("%s: it cannot be loaded as a PKCS#11 module: %w", m.path, ocm.ErrInvalid)
	}
	if err := p.Initialize(); err != nil {
		p.Destroy()
		return fmt.Errorf("%s: %w", m.path, err)
	}
	m.p = p
	return nil
}

// slot finds the one token of a label.
func (m *module) slot(label string) (found uint, err error) {
	slots, err := m.p.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	count := 0
	var unread error
	for _, slot := range slots {
		info, err := m.p.GetTokenInfo(slot)
		if err != nil {
			unread = fmt.Errorf("slot %d: %w", slot, err)
		} else if strings.TrimRight(info.Label, " \x00") == label {
			found = slot
			count++
		}
	}
	switch {
	case count == 1:
		return found, nil
	case count > 1:
		return 0, fmt.Errorf("%d tokens have this label: %w", count, ocm.ErrInvalid)
	case unread != nil:
		return 0, fmt.Errorf("no token of this label is there, but not all could be asked: %w", unread)
	}
	return 0, fmt.Errorf("no token of this label is there: %w", ocm.ErrNotFound)
}

// session is one with a token.
type session struct {
	p *pkcs11.Ctx
	h pkcs11.SessionHandle
}

func (s session) login(pin string) error {
	err := s.p.Login(s.h, pkcs11.CKU_USER, pin)
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return fmt.Errorf("log in: %w: %w", err, ocm.ErrDenied)
	}
	return fmt.Errorf("log in: %w", err)
}

// find finds the one object of a class and label.
func (s session) find(class uint, what, label string) (pkcs11.ObjectHandle, error) {
	err := s.p.FindObjectsInit(s.h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)})
	if err != nil {
		return 0, err
	}
	found, _, err := s.p.FindObjects(s.h, 2)
	if end := s.p.FindObjectsFinal(s.h); err == nil {
		err = end
	}
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("there is no %s key of this label: %w", what, ocm.ErrNotFound)
	case len(found) > 1:
		return 0, fmt.Errorf("several %s keys have this label: %w", what, ocm.ErrInvalid)
	}
	return found[0], nil
}

func (s session) attributes(o pkcs11.ObjectHandle, types ...uint) ([][]byte, error) {
	ask := make([]*pkcs11.Attribute, len(types))
	for i, t := range types {
		ask[i] = pkcs11.NewAttribute(t, nil)
	}
	got, err := s.p.GetAttributeValue(s.h, o, ask)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(types))
	for i := range min(len(got), len(types)) {
		values[i] = got[i].Value
	}
	return values, nil
}

// public reads the public key of a label.
func (s session) public(label string) (crypto.PublicKey, error) {
	o, err := s.find(pkcs11.CKO_PUBLIC_KEY, "public", label)
	if err != nil {
		return nil, err
	}
	if v, err := s.attributes(o, pkcs11.CKA_MODULUS, pkcs11.CKA_PUBLIC_EXPONENT); err == nil && len(v[0]) > 0 {
		e := new(big.Int).SetBytes(v[1])
		if e.BitLen() > 31 || e.Sign() == 0 {
			return nil, fmt.Errorf("an RSA key with an exponent of %d bits: %w", e.BitLen(), ocm.ErrInvalid)
		}
		return &stdrsa.PublicKey{N: new(big.Int).SetBytes(v[0]), E: int(e.Int64())}, nil
	}
	v, err := s.attributes(o, pkcs11.CKA_EC_PARAMS, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, fmt.Errorf("its public key is neither of RSA nor on a curve: %w", ocm.ErrInvalid)
	}
	return onCurve(v[0], v[1])
}

// onCurve reads a point of one of the curves that are known.
func onCurve(params, point []byte) (crypto.PublicKey, error) {
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params, &oid); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("its curve has no name: %w", ocm.ErrInvalid)
	}
	curve, ok := map[string]elliptic.Curve{"1.2.840.10045.3.1.7": elliptic.P256(), "1.3.132.0.34": elliptic.P384()}[oid.String()]
	if !ok {
		return nil, fmt.Errorf("it is on the curve %s, expected P-256 or P-384: %w", oid, ocm.ErrInvalid)
	}
	var plain []byte
	if rest, err := asn1.Unmarshal(point, &plain); err != nil || len(rest) > 0 {
		plain = point // some modules leave the wrapping out
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, plain)
	if err != nil {
		return nil, fmt.Errorf("its public key is no point of its curve: %w: %w", err, ocm.ErrInvalid)
	}
	return key, nil
}

// sign signs with the private key of a label, as its public key needs it.
func (s session) sign(label string, public crypto.PublicKey, hash crypto.Hash, sum []byte) ([]byte, error) {
	private, err := s.find(pkcs11.CKO_PRIVATE_KEY, "private", label)
	if err != nil {
		return nil, err
	}
	mechanism := pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)
	switch k := public.(type) {
	case *stdrsa.PublicKey:
		mechanism = pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pss(hash))
	case *ecdsa.PublicKey: // what is longer than the curve's order is cut, by us: modules differ
		sum = sum[:min(len(sum), (k.Curve.Params().BitSize+7)/8)]
	}
	if err := s.p.SignInit(s.h, []*pkcs11.Mechanism{mechanism}, private); err != nil {
		return nil, err
	}
	return s.p.Sign(s.h, sum)
}

// pss are the parameters of RSASSA-PSS, with a salt as long as the hash.
func pss(hash crypto.Hash) []byte {
	switch hash {
	case crypto.SHA384:
		return pkcs11.NewPSSParams(pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384, 48)
	case crypto.SHA512:
		return pkcs11.NewPSSParams(pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512, 64)
	}
	return pkcs11.NewPSSParams(pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, 32)
}
