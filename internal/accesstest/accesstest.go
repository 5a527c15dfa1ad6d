// SPDX-License-Identifier: Apache-2.0

// Package accesstest is the contract of access methods and inputs, as tests that run against a real server of
// the kind that a method talks to.
package accesstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
)

// Case is a method with a server that has something for it.
type Case struct {
	Method ocm.Method
	Env    *ocm.Env // nil: an empty one
	Good   any      // a specification without "type" that leads to content
	Want   []byte   // the content; nil: not compared
	// WantType is the media type of the content's root.
	WantType string
	// Missing are changes of members of Good that lead to nothing: [ocm.ErrNotFound].
	Missing []map[string]any
	// Wrong are changes that are refused before anything is sent: [ocm.ErrInvalid], by the changed member's name.
	Wrong []map[string]any
	// Host is the member that says where the server is; a function puts another host:port into its value. nil: there is none.
	Host func(hostport string) map[string]any
	// Locked is an environment with wrong credentials, for a server that demands the right ones, which Env has; nil: there is none.
	Locked *ocm.Env
	// Secrets are texts that must not be in any error.
	Secrets []string
}

// Run runs the contract.
func Run(t *testing.T, c Case) {
	t.Helper()
	if c.Env == nil {
		c.Env = &ocm.Env{}
	}
	t.Run("content", func(t *testing.T) { content(t, c) })
	t.Run("again", func(t *testing.T) { again(t, c) })
	t.Run("fields", func(t *testing.T) { fields(t, c) })
	for _, change := range c.Wrong {
		t.Run("wrong "+member(change), func(t *testing.T) { wrong(t, c, change) })
	}
	for _, change := range c.Missing {
		t.Run("missing "+member(change), func(t *testing.T) { c.fails(t, c.Env, change, ocm.ErrNotFound) })
	}
	if c.Host != nil {
		t.Run("unreachable", func(t *testing.T) { unreachable(t, c) })
	}
	if c.Locked != nil {
		t.Run("credentials", func(t *testing.T) { c.fails(t, c.Locked, nil, ocm.ErrDenied) })
	}
	t.Run("cancelled", func(t *testing.T) { cancelled(t, c) })
}

// spec is Good with changes; nil takes a member away.
func (c Case) spec(t *testing.T, change map[string]any) ocm.Spec {
	t.Helper()
	raw, err := json.Marshal(c.Good)
	must(t, err)
	var members map[string]any
	must(t, json.Unmarshal(raw, &members))
	members["type"] = c.Method.Names[0]
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	s, err := ocm.NewSpec(members)
	must(t, err)
	return s
}

// read opens a specification and reads all, of a graph each node.
func (c Case) read(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, []byte, error) {
	got, err := c.Method.Open(ctx, env, s)
	if err != nil {
		return got, nil, err
	}
	if blob.IsManifest(got.Root.MediaType) {
		return got, []byte(got.Root.Digest), blob.Check(ctx, got)
	}
	rc, err := blob.OpenContent(ctx, got)
	if err != nil {
		return got, nil, err
	}
	defer rc.Close()
	all, err := io.ReadAll(rc)
	return got, all, err
}

func content(t *testing.T, c Case) {
	for _, name := range c.Method.Names {
		got, all, err := c.read(t.Context(), c.Env, c.spec(t, map[string]any{"type": name}))
		must(t, err)
		if c.Want != nil && !bytes.Equal(all, c.Want) {
			t.Errorf("%s: expected %d bytes %.80q, found %d bytes %.80q", name, len(c.Want), c.Want, len(all), all)
		}
		if got.Root.MediaType != c.WantType {
			t.Errorf("%s: expected media type %q, found %q", name, c.WantType, got.Root.MediaType)
		}
		if got.Pinned != nil && (got.Pinned.Type != name || len(got.Pinned.Raw) == 0) {
			t.Errorf("%s: the pinned access has the type %q", name, got.Pinned.Type)
		}
	}
}

// again opens what was pinned, and reads content twice.
func again(t *testing.T, c Case) {
	s := c.spec(t, nil)
	first, all, err := c.read(t.Context(), c.Env, s)
	must(t, err)
	if first.Pinned != nil {
		s = *first.Pinned
	}
	second, same, err := c.read(t.Context(), c.Env, s)
	must(t, err)
	if !bytes.Equal(all, same) {
		t.Errorf("read again, the content differs")
	}
	if second.Pinned != nil && string(second.Pinned.Raw) != string(s.Raw) {
		t.Errorf("pinned once more: expected %s, found %s", s.Raw, second.Pinned.Raw)
	}
}

// fields looks at the description, which help and documents are made of.
func fields(t *testing.T, c Case) {
	if c.Method.About == "" {
		t.Error("the type has no description")
	}
	for _, f := range c.Method.Fields {
		if !f.Needed {
			continue
		}
		_, err := c.Method.Open(t.Context(), c.Env, c.spec(t, map[string]any{f.Name: nil}))
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("without %s: expected ErrInvalid that names it, found %v", f.Name, err)
		}
	}
}

func wrong(t *testing.T, c Case, change map[string]any) {
	_, err := c.Method.Open(t.Context(), c.Env, c.spec(t, change))
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), member(change)) {
		t.Errorf("%v: expected ErrInvalid that names %s, found %v", change, member(change), err)
	}
}

func unreachable(t *testing.T, c Case) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := l.Addr().String()
	l.Close()
	_, _, err = c.read(t.Context(), c.Env, c.spec(t, c.Host(nobody)))
	if err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("expected an error that names %s, found %v", nobody, err)
	}
	c.silent(t, err)
}

func cancelled(t *testing.T, c Case) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.read(ctx, c.Env, c.spec(t, nil)); err == nil {
		t.Error("content was delivered though nobody wants it any more")
	}
}

func (c Case) fails(t *testing.T, env *ocm.Env, change map[string]any, want error) {
	t.Helper()
	_, _, err := c.read(t.Context(), env, c.spec(t, change))
	if !errors.Is(err, want) {
		t.Errorf("%v: expected %q, found %v", change, want, err)
	}
	c.silent(t, err)
}

// silent demands that an error keeps secrets.
func (c Case) silent(t *testing.T, err error) {
	t.Helper()
	for _, secret := range c.Secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret %q: %v", secret, err)
		}
	}
}

func member(change map[string]any) string {
	for name := range change {
		return name
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
