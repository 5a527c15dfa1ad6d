// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/credentials"
	"ocm/internal/accesstest"
	"ocm/internal/plugintest"
)

type echo struct {
	Text string `json:"text" need:"yes" about:"the content"`
}

// echoKit has an access method whose content stands in the specification.
func echoKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Access.Register(ocm.OpenerFunc(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var e echo
		if err := s.Members(&e); err != nil {
			return ocm.Content{}, err
		}
		switch e.Text {
		case "missing":
			return ocm.Content{}, fmt.Errorf("echo: %w", ocm.ErrNotFound)
		case "surroundings":
			return blob.Bytes("text/plain", []byte(surroundings())), nil
		case "large":
			return blob.Bytes("text/plain", large()), nil
		case "secret":
			secret, err := env.Resolve(ctx, ocm.Identity{"type": "Echo"})
			return blob.Bytes("text/plain", []byte(secret["text"])), err
		}
		return blob.Bytes("text/plain", []byte(e.Text)), nil
	}), ocm.Type{Names: []string{"echo/v1", "echo"}, About: "What it says.", Fields: ocm.FieldsOf(echo{})})
	return kit
}

// large is more than is read ahead. It is no text of a specification, which would take its time to be asked.
func large() []byte { return bytes.Repeat([]byte("x"), 4<<20) }

// surroundings tells what a process has.
func surroundings() string {
	var b strings.Builder
	b.WriteString(strings.Join(os.Environ(), "\n") + "\n")
	for what, resource := range map[string]int{"files": syscall.RLIMIT_NOFILE, "core": syscall.RLIMIT_CORE} {
		var limit syscall.Rlimit
		_ = syscall.Getrlimit(resource, &limit)
		fmt.Fprintln(&b, what, limit.Max)
	}
	fmt.Fprintln(&b, "group", syscall.Getpgrp() == os.Getpid())
	all, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range all {
		if path, err := os.Readlink(fd); err == nil {
			fmt.Fprintln(&b, "open:", path)
		}
	}
	return b.String()
}

// An access method in a plugin keeps the contract of access methods.
func TestAccess(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "echo")
	method, err := kit.Access.For("echo/v1")
	if err != nil {
		t.Fatal(err)
	}
	accesstest.Run(t, accesstest.Case{
		Method: ocm.Method{Type: kit.Access.Types()[0], Opener: method},
		Good:   echo{"hello"}, Want: []byte("hello"), WantType: "text/plain",
		Missing: []map[string]any{{"text": "missing"}},
		Wrong:   []map[string]any{{"text": nil}},
	})
}

// What a plugin needs of secrets it is told by the host.
func TestCredentials(t *testing.T) {
	t.Parallel()
	method, err := plugintest.Kit(t, "echo").Access.For("echo")
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := ocm.NewSpec(map[string]string{"type": "echo", "text": "secret"})
	entry, _ := ocm.NewSpec(map[string]any{"type": "credentials.config.ocm.software", "consumers": []any{map[string]any{
		"identity":    map[string]string{"type": "Echo"},
		"credentials": []any{map[string]any{"type": "Credentials/v1", "properties": map[string]string{"text": "psst"}}},
	}}})
	store, err := credentials.New([]ocm.Spec{entry}, credentials.Options{NoDocker: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := method.Open(t.Context(), &ocm.Env{Credentials: store}, spec)
	if err != nil {
		t.Fatal(err)
	}
	text, err := blob.ReadAll(t.Context(), c.From, c.Root, 100)
	if err != nil || string(text) != "psst" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := method.Open(t.Context(), &ocm.Env{}, spec); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("without credentials: %v", err)
	}
}
