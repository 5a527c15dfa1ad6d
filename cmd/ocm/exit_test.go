// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"ocm"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("target x: %w", fmt.Errorf("resource y: %w", err)) }
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{wrap(ocm.ErrExists), 1},
		{wrap(ocm.ErrInvalid), 1},
		{context.Canceled, 1},
		{usage(ocm.ErrInvalid), 2},
		{withHint(usagef("x"), "y"), 2},
		{wrap(ocm.ErrNotFound), 3},
		{wrap(fs.ErrNotExist), 3},
		{wrap(ocm.ErrDigest), 4},
		{wrap(ocm.ErrSignature), 4},
		{wrap(ocm.ErrDenied), 5},
		{errors.Join(ocm.ErrNotFound, wrap(ocm.ErrSignature)), 4},
		{errors.Join(usagef("x"), wrap(ocm.ErrDigest)), 4},
		{errors.Join(ocm.ErrNotFound, ocm.ErrDenied), 5},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
	if lines := strings.Split(strings.TrimSpace(exitHelp()), "\n"); len(lines) != 6 {
		t.Errorf("the table has %d lines: %q", len(lines), lines)
	}
}

func TestExitPrints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("a\x1b[2Jb"), "Error: a\\x1b[2Jb\n"},
		{withHint(errors.New("a"), "b"), "Error: a\nHint:  b\n"},
		{fmt.Errorf("x: %w", context.Canceled), "Error: interrupted"},
		{ocm.ErrDenied, "ocm login"},
		{ocm.ErrConflict, "again"},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, "--temp-folder"},
		{syscall.ECONNREFUSED, "name and port"},
		{fmt.Errorf("registry my.folder: %w", &net.DNSError{Err: "no such host", Name: "my.folder", IsNotFound: true}), "write ./ before"},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		if a := (&app{err: newScreen(&b)}); a.exit(tt.err) != 1 && !errors.Is(tt.err, ocm.ErrDenied) || !strings.Contains(b.String(), tt.want) {
			t.Errorf("%v: printed %q, want %q", tt.err, b.String(), tt.want)
		}
	}
}

// Credentials do not help where an archive cannot do it at all.
func TestNoLoginHintForUnsupported(t *testing.T) {
	t.Parallel()
	if got := hint(fmt.Errorf("%w (%w)", ocm.ErrDenied, errors.ErrUnsupported)); got != "" {
		t.Errorf("hint %q, want none", got)
	}
}

// An archive whose name looks like a domain is taken for a registry: the hint says so,
// but only if nobody told the type.
func TestGuessHint(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("my.path", 0o700); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]bool{
		"my.path//acme.org/app:1.0.0": true, "oci::my.path//acme.org/app:1.0.0": false,
		"ctf::my.path//acme.org/app:1.0.0": false, "other.path//acme.org/app:1.0.0": false,
	} {
		c, err := ocm.ParseCoordinates(arg)
		if err != nil {
			t.Fatal(err)
		}
		if got := guessHint([]string{"get", "cv", arg}, c); (got != "") != want {
			t.Errorf("%s: got %q", arg, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"get", "sign", "verify", "transfer", "component-version", "cv"}
	for in, want := range map[string]string{
		"vrify": "verify", "sing": "sign", "tranfser": "transfer", "gte": "get", "x": "", "cw": "cv", "zzzzzz": "", "component": "component-version",
		"": "", "transferr": "transfer", strings.Repeat("x", 10000): "",
	} {
		if got := closest(in, names); got != want {
			t.Errorf("%.20q: got %q, want %q", in, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	var level string
	var d depth
	var b bool
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	addEnum(fs, &level, "level", "l", "", "low", "high")
	addDepth(fs, &d)
	fs.BoolVar(&b, "copy", false, "")
	alias(fs, "level", "grade", "g")
	alias(fs, "copy", "dup", "")
	ignored(fs, "create", "templater=subst")
	if level != "low" {
		t.Errorf("default: %q", level)
	}
	if err := fs.Parse([]string{"--grade", "high", "-r", "--dup", "--create", "--templater", "none"}); err != nil || level != "high" || d != -1 || !b {
		t.Errorf("got %v, %q, %d, %v", err, level, d, b)
	}
	if err := fs.Parse([]string{"--recursive=0", "-g=low"}); err != nil || d != 0 || level != "low" {
		t.Errorf("got %v, %d, %q", err, d, level)
	}
	for _, bad := range []string{"--level=x", "--level=", "--recursive=2", "--grade=HIGH"} {
		if err := fs.Parse([]string{bad}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestParseKeyFile(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]keyFile{
		"rsa.pub": {"", "rsa.pub"}, "release=rsa.pub": {"release", "rsa.pub"}, "./a=b": {"", "./a=b"}, "dir/x=y": {"", "dir/x=y"},
		"=TEXT": {"", "=TEXT"}, "release==TEXT": {"release", "=TEXT"}, "!QQ==": {"", "!QQ=="}, "release=!QQ==": {"release", "!QQ=="},
		"=-----BEGIN PUBLIC KEY-----\nQQ==": {"", "=-----BEGIN PUBLIC KEY-----\nQQ=="},
	} {
		if got, err := parseKeyFile(in); err != nil || got != want {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "release=", "=", "!", "release=!", "release=="} {
		if got, err := parseKeyFile(in); !isUsage(err) {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	hex := strings.Repeat("0aF", 22)[:64]
	for _, s := range []string{"SHA-256:" + hex, "SHA-256:" + hex + "[jsonNormalisation/v4alpha1]", "SHA-512:" + hex + hex + " (jsonNormalisation/v3)",
		"SHA-256:" + hex[1:], "SHA-1:" + hex, "[", ":", "SHA-256:" + hex + "[x]", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDigest(s)
		if err != nil {
			if !isUsage(err) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := parseDigest(d.String())
		if err != nil || again.String() != d.String() || d.Value != strings.ToLower(d.Value) || len(d.Value) != 64 && len(d.Value) != 128 {
			t.Errorf("%q: %s, then %s, %v", s, &d, &again, err)
		}
	})
}

func FuzzParseKeyFile(f *testing.F) {
	for _, s := range []string{"a.pub", "a=b", "=x", "a==x", "!eA==", "a=!eA==", "=", "a=", "./a=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := parseKeyFile(s)
		if err == nil && (k.path == "" || k.signature != "" && k.signature+"="+k.path != s || k.signature == "" && k.path != s) {
			t.Errorf("%q: %q %q", s, k.signature, k.path)
		}
	})
}
