// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"ocm"
	"ocm/credentials"
	"ocm/internal/plugintest"
	"ocm/internal/secrettest"
)

type shelf struct {
	Host string `json:"host" need:"yes" about:"the one that it has something for"`
	Does string `json:"does" about:"what else it does"`
}

// shelfSource has the secret of one host.
type shelfSource struct{}

const shelfSecret = "s3cr3t"

// Find implements [ocm.CredentialSource].
func (shelfSource) Find(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	var v shelf
	if err := s.Members(&v); err != nil {
		return nil, err
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case strings.Contains(id["hostname"], "/"):
		return nil, fmt.Errorf("a hostname with a slash: %w", ocm.ErrInvalid)
	case v.Does == "ask":
		return env.Resolve(ctx, ocm.Identity{"type": "Shelf", "hostname": id["hostname"]})
	case v.Does == "tell":
		return nil, fmt.Errorf("the password is %s: %w", shelfSecret, ocm.ErrDenied)
	case v.Does == "panic":
		panic(shelfSecret)
	case v.Does == "end":
		fmt.Fprintln(os.Stderr, "the password is", shelfSecret)
		os.Exit(3)
	case v.Does == "claim":
		return nil, fmt.Errorf("%s: %w", shelfSecret, ocm.ErrUnknownType)
	case v.Does == "empty":
		return ocm.Secret{}, nil
	case v.Does == "much":
		return ocm.Secret{"password": strings.Repeat(shelfSecret, 1<<20)}, nil
	case v.Does == "many":
		many := ocm.Secret{}
		for i := range 1000 {
			many[fmt.Sprint(i)] = shelfSecret
		}
		return many, nil
	case v.Does == "name":
		return ocm.Secret{shelfSecret + "\x1b[2J": "x"}, nil
	case id["hostname"] != v.Host:
		return nil, fmt.Errorf("%s: %w", id["hostname"], ocm.ErrNotFound)
	}
	return ocm.Secret{"username": "me", "password": shelfSecret}, nil
}

func shelfKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Secrets.Register(shelfSource{}, ocm.Type{Names: []string{"Shelf/v1", "Shelf"}, About: "A shelf.", Fields: ocm.FieldsOf(shelf{})})
	return kit
}

// A credential source keeps its contract in the process and in a plugin.
func TestCredentialSource(t *testing.T) {
	t.Parallel()
	for name, kit := range map[string]*ocm.Kit{"in the process": shelfKit(), "plugin": plugintest.Kit(t, "shelf")} {
		source, err := kit.Secrets.For("Shelf/v1")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			secrettest.Run(t, secrettest.Case{
				Source: source, Types: []string{"Shelf/v1", "Shelf"},
				Good: shelf{Host: "good.io"}, Identity: ocm.Identity{"type": "Wget", "hostname": "good.io"},
				Want:    ocm.Secret{"username": "me", "password": shelfSecret},
				Missing: []ocm.Identity{{"type": "Wget", "hostname": "other.io"}, {"type": "RSA"}},
				Refused: []ocm.Identity{{"type": "Wget", "hostname": "a/b"}},
				Wrong:   []map[string]any{{"host": nil}, {"host": 1}},
			})
		})
	}
}

// What a plugin writes into its messages and names is not shown, whatever it is.
func TestCVE_2025_65965_words_of_credential_plugins_are_not_shown(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "shelf")
	source, err := kit.Secrets.For("Shelf/v1")
	if err != nil {
		t.Fatal(err)
	}
	for does, kind := range map[string]error{
		"tell": ocm.ErrDenied, "claim": ocm.ErrUnknownType, "empty": ocm.ErrInvalid, "much": ocm.ErrLimit, "many": ocm.ErrLimit, "name": ocm.ErrInvalid,
		"panic": nil,
	} {
		s, _ := ocm.NewSpec(map[string]string{"type": "Shelf", "host": "good.io", "does": does})
		got, err := source.Find(t.Context(), &ocm.Env{}, s, ocm.Identity{"type": "Wget", "hostname": "good.io"})
		if err == nil || kind != nil && !errors.Is(err, kind) || len(got) > 0 || strings.Contains(err.Error(), shelfSecret) || !strings.Contains(err.Error(), "plugin shelf") {
			t.Errorf("%s: %d properties, %v", does, len(got), err)
		}
	}
}

// Nor is what it wrote before it ended, however often it is started.
func TestLastWordsOfCredentialPluginsAreNotShown(t *testing.T) {
	t.Parallel()
	source, err := plugintest.Kit(t, "shelf").Secrets.For("Shelf/v1")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := ocm.NewSpec(map[string]string{"type": "Shelf", "host": "good.io", "does": "end"})
	for range 3 {
		got, err := source.Find(t.Context(), &ocm.Env{}, s, ocm.Identity{"type": "Wget", "hostname": "good.io"})
		if err == nil || errors.Is(err, ocm.ErrNotFound) || len(got) > 0 || strings.Contains(err.Error(), shelfSecret) || !strings.Contains(err.Error(), "plugin shelf") {
			t.Errorf("%d properties, %v", len(got), err)
		}
	}
}

// A source in a plugin through the credentials of a configuration: it is opened with what these have, and is never asked to open itself.
func TestCredentialSourceConfigured(t *testing.T) {
	t.Parallel()
	store := secretsOf(t, plugintest.Kit(t, "shelf"), map[string]any{
		"consumers": []any{
			map[string]any{"identity": map[string]string{"type": "Shelf", "hostname": "key.io"}, "credentials": []any{
				map[string]any{"type": "Credentials/v1", "properties": map[string]string{"token": "key"}},
			}},
			map[string]any{"identity": map[string]string{"type": "Shelf", "hostname": "circle.io"}, "credentials": []any{
				map[string]any{"type": "Shelf", "host": "x", "does": "ask"},
			}},
			map[string]any{"identity": map[string]string{"type": "Wget", "hostname": "tell.io"}, "credentials": []any{
				map[string]any{"type": "Shelf", "host": "x", "does": "tell"},
			}},
		},
		"repositories": []any{map[string]any{"repository": map[string]any{"type": "Shelf/v1", "host": "x", "does": "ask"}}},
	})
	if got, err := store.Resolve(t.Context(), ocm.Identity{"type": "Wget", "hostname": "key.io"}); err != nil || got["token"] != "key" {
		t.Error(got, err)
	}
	if _, err := store.Resolve(t.Context(), ocm.Identity{"type": "Wget", "hostname": "none.io"}); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
	if _, err := store.Resolve(t.Context(), ocm.Identity{"type": "Wget", "hostname": "circle.io"}); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
	x, err := store.Explain(t.Context(), ocm.Identity{"type": "Wget", "hostname": "tell.io"})
	if !errors.Is(err, ocm.ErrDenied) || strings.Contains(fmt.Sprint(x, err), shelfSecret) || !strings.Contains(err.Error(), "credential source Shelf of plugin shelf") {
		t.Error(x, err)
	}
}

func secretsOf(t *testing.T, kit *ocm.Kit, entry map[string]any) *credentials.Store {
	t.Helper()
	entry["type"] = "credentials.config.ocm.software"
	s, err := ocm.NewSpec(entry)
	if err != nil {
		t.Fatal(err)
	}
	store, err := credentials.New([]ocm.Spec{s}, credentials.Options{NoDocker: true, Sources: kit.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	return store
}
