// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPiecesOfPrivateKeysAreFound(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	write(t, home, "key.pem", text)
	secrets, err := privateKeys(home)
	if err != nil || len(secrets) == 0 {
		t.Fatalf("expected pieces of a key, found %v, %v", secrets, err)
	}
	traditional := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	padding := bytes.Repeat([]byte("x"), 1<<20-len(text)/2) // the key lies across a border of what is read at a time
	for name, c := range map[string]struct {
		content []byte
		found   bool
	}{
		"PEM":            {text, true},
		"binary":         {der, true},
		"at the border":  {append(bytes.Clone(padding), text...), true},
		"base64":         {[]byte(base64.StdEncoding.EncodeToString(text)), true},
		"base64 shifted": {[]byte(base64.StdEncoding.EncodeToString(append([]byte("ab"), text...))), true},
		"traditional":    {traditional, true},
		"one line":       {[]byte(base64.StdEncoding.EncodeToString(der)), true},
		"in mail":        {wrapped(base64.StdEncoding.EncodeToString(append([]byte("a"), der...)), 76), true},
		"compressed":     {zipped(t, text), true},
		"in a chart":     {zipped(t, tarred(t, "chart/files/key", text)), true},
		"in an archive":  {tarred(t, "blobs/sha256.0", zipped(t, tarred(t, "layer/chart.tgz", zipped(t, tarred(t, "key", der))))), true},
		"cut short":      {zipped(t, bytes.Repeat(text, 1000))[:2000], true},
		"no archive":     {append([]byte{0x1f, 0x8b, 8}, padding...), false},
		"no key":         {zipped(t, tarred(t, "x", padding)), false},
		"public key":     {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), false},
		"nothing":        {nil, false},
		"something":      {padding, false},
	} {
		dir := t.TempDir()
		write(t, dir, "file", c.content)
		if err := searchAll(secrets, dir); (err != nil) != c.found {
			t.Errorf("%s: expected found %v, found %v", name, c.found, err)
		} else if err != nil && !strings.Contains(err.Error(), "piece of a private key") {
			t.Error(err)
		}
	}
}

func wrapped(text string, width int) []byte {
	var b bytes.Buffer
	for len(text) > width {
		b.WriteString(text[:width] + "\r\n")
		text = text[width:]
	}
	b.WriteString(text)
	return b.Bytes()
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))})
	_, werr := w.Write(content)
	if err := errors.Join(err, werr, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatTheKernelSaysIsNoContent(t *testing.T) {
	t.Parallel()
	if !isKernel("/proc/self") || !isKernel("/proc/self/ns/net") || isKernel(t.TempDir()) {
		t.Error("expected that /proc is told from folders")
	}
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}
