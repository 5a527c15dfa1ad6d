// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/plugin/host"
)

// hosted is a kit with these plugins, and the folder that they are in. At the end nothing is left of them.
func hosted(t testing.TB, o host.Options, names ...string) (*ocm.Kit, string) {
	t.Helper()
	dir := t.TempDir()
	self := fixture.Must[string](t)(os.Executable())
	for _, name := range names {
		if err := fixture.LinkProgram(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o.Dirs = []string{dir}
	o.Temp = shortDir(t)
	h := host.New(o)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if left := fixture.Must[[]os.DirEntry](t)(os.ReadDir(o.Temp)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	kit := ocm.NewKit()
	h.Attach(kit)
	return kit, dir
}

// shortDir is a folder for sockets, whose paths cannot be long.
func shortDir(t testing.TB) string {
	dir := fixture.Must[string](t)(os.MkdirTemp("", "l"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// env has one password for a type of consumers.
func env(t testing.TB, consumer, password string) *ocm.Env {
	t.Helper()
	return &ocm.Env{Credentials: one{consumer, password}, Temp: shortDir(t)}
}

type one struct{ consumer, password string }

func (o one) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] != o.consumer || len(id) < 2 {
		return nil, fmt.Errorf("%s: %w", id, ocm.ErrNotFound)
	}
	return ocm.Secret{"username": "u", "password": o.password}, nil
}

func spec(t testing.TB, typ string, members ...string) ocm.Spec {
	t.Helper()
	m := map[string]string{"type": typ}
	for i := 0; i < len(members); i += 2 {
		m[members[i]] = members[i+1]
	}
	return fixture.Must[ocm.Spec](t)(ocm.NewSpec(m))
}

func all(t testing.TB, c ocm.Content) string {
	t.Helper()
	r := fixture.Must[io.ReadCloser](t)(blob.OpenContent(t.Context(), c))
	defer r.Close()
	return string(fixture.Must[[]byte](t)(io.ReadAll(r)))
}

// echoed is the content of an access echo.
func echoed(t testing.TB, kit *ocm.Kit, e *ocm.Env, text string) (string, error) {
	t.Helper()
	c, err := fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1")).Open(t.Context(), e, spec(t, "echo/v1", "text", text))
	if err != nil {
		return "", err
	}
	return all(t, c), nil
}

func TestAccess(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"access", "tcp", "everything"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			kit, _ := hosted(t, host.Options{}, program)
			method := fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1"))
			accesstest.Run(t, accesstest.Case{
				Method: ocm.Method{Type: kit.Access.Types()[0], Opener: method},
				Env:    env(t, "Echo", "right"), Good: map[string]string{"text": "hello"}, Want: []byte("hello"), WantType: "text/plain",
				Missing: []map[string]any{{"text": "missing"}},
				Wrong:   []map[string]any{{"text": 1}, {"txt": "typing error"}},
			})
		})
	}
}

// Credentials are found for the consumer that the plugin names, and stay out of errors.
func TestCredentials(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "access")
	if got, err := echoed(t, kit, env(t, "Echo", "psst ü\x7f\n😀"), "secret"); err != nil || got != "psst ü\x7f\n😀" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := echoed(t, kit, nil, "secret"); err == nil || !strings.Contains(err.Error(), "no credentials") || !strings.Contains(err.Error(), "plugin access") {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := echoed(t, kit, env(t, "Echo", "wrong-4711"), "secret"); err == nil || strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "***") {
		t.Errorf("the error tells the secret: %v", err)
	}
}

// Names of a type, of two entries of one kind, and of what nobody knows.
func TestEverything(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "everything")
	for _, typ := range []string{"echo", "Echo", "echo/v1", "second/v1"} {
		if _, err := kit.Access.For(typ); err != nil {
			t.Error(err)
		}
	}
	for what, err := range map[string]error{
		"input":       second(kit.Inputs.For("shout/v1")),
		"transformer": second(kit.Transformers.For("reverse/v1")),
		"signer":      second(kit.Signers.For("hash/v1")),
		"verifier":    second(kit.Verifiers.For("hash/v1")),
		"uploader":    second(kit.Uploaders.For("echo/v1")),
		"repository":  second(kit.Repositories.For("Folder/v1")),
		"secrets":     second(kit.Secrets.For("Safe/v1")),
		"secrets too": second(kit.Secrets.For("Vault/v9")),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	types := kit.Access.Types()
	if len(types) == 0 || !strings.HasPrefix(types[0].Origin, "plugin everything (/") || len(types[0].Fields) != 1 || types[0].Fields[0].About != "the text" || !types[0].Fields[0].Needed {
		t.Errorf("types: %+v", types)
	}
	if got, err := echoed(t, kit, nil, "still works"); err != nil || got != "still works" {
		t.Errorf("%q %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// What is compiled in stays what it was, and the other names of the plugin work.
func TestBuiltInWins(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "access")
	kit.Access.Add(ocm.OpenerFunc(nil), "echo")
	if _, err := kit.Access.For("Echo"); err != nil {
		t.Error(err)
	}
	if kit.Access.Same("echo", "echo/v1") {
		t.Error("the plugin has taken a name")
	}
	_, err := kit.Access.For("neither")
	fixture.WantErr(t, err, ocm.ErrUnknownType, `["echo"] is there already`, "plugin access")
}

func TestUploader(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "access")
	e := env(t, "Echo", "x")
	up := fixture.Must[ocm.Uploader](t)(kit.Uploaders.For("echo/v1"))
	text := blob.Bytes("text/plain", []byte("to be stored"))
	stored := fixture.Must[ocm.Stored](t)(up.Upload(t.Context(), e, text, spec(t, "echo/v1", "text", "?"), "a/name:1"))
	if stored.Root.Digest != text.Root.Digest || stored.Root.Size != text.Root.Size {
		t.Errorf("stored %+v", stored.Root)
	}
	c := fixture.Must[ocm.Content](t)(fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1")).Open(t.Context(), e, stored.Access))
	if got := all(t, c); got != "to be stored" {
		t.Errorf("found %q", got)
	}
	lie := text
	lie.From = blob.Bytes("text/plain", []byte("not this one")).From
	_, err := up.Upload(t.Context(), e, lie, spec(t, "echo/v1", "text", "?"), "")
	fixture.WantErr(t, err, ocm.ErrDigest)
	empty(t, e.Temp)
}

// empty demands that nothing is left in a folder.
func empty(t testing.TB, dir string) {
	t.Helper()
	if left := fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) > 0 {
		t.Errorf("left behind in %s: %v", dir, left)
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "input", "access")
	in := fixture.Must[ocm.Opener](t)(kit.Inputs.For("shout/v1"))
	e := &ocm.Env{Dir: t.TempDir()}
	accesstest.Run(t, accesstest.Case{
		Method: ocm.Method{Type: kit.Inputs.Types()[0], Opener: in}, Env: e,
		Good: map[string]string{"text": "hello"}, Want: []byte("HELLO"), WantType: "text/plain",
		Missing: []map[string]any{{"text": "missing"}}, Wrong: []map[string]any{{"text": []int{}}},
	})
	c := fixture.Must[ocm.Content](t)(in.Open(t.Context(), e, spec(t, "shout/v1", "text", "reference")))
	if got := all(t, c); got != "by reference" {
		t.Errorf("found %q", got)
	}
	for text, want := range map[string]error{"local": ocm.ErrInvalid, "nothing": ocm.ErrInvalid} {
		_, err := in.Open(t.Context(), e, spec(t, "shout/v1", "text", text))
		fixture.WantErr(t, err, want, "plugin input")
	}
	own := filepath.Join(e.Dir, "file")
	if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = fixture.Must[ocm.Content](t)(in.Open(t.Context(), e, spec(t, "shout/v1", "text", own)))
	if got := all(t, c); got != "mine" {
		t.Errorf("found %q", got)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("a file of the user is gone: %v", err)
	}
}

func TestTransformer(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "transform")
	e := &ocm.Env{Temp: shortDir(t)}
	for typ, want := range map[string]string{"reverse/v1": "cba", "same/v1": "abc"} {
		tr := fixture.Must[ocm.Transformer](t)(kit.Transformers.For(typ))
		c := fixture.Must[ocm.Content](t)(tr.Transform(t.Context(), e, blob.Bytes("text/x-source", []byte("abc")), spec(t, typ)))
		if got := all(t, c) + all(t, c); got != want+want {
			t.Errorf("%s: found %q", typ, got)
		}
	}
	tr := fixture.Must[ocm.Transformer](t)(kit.Transformers.For("same/v1"))
	image := fixture.Index("layer")
	c := fixture.Must[ocm.Content](t)(tr.Transform(t.Context(), e, image, spec(t, "same/v1")))
	if c.Root.Digest != image.Root.Digest {
		t.Errorf("expected %v, found %v", image.Root, c.Root)
	}
	if err := blob.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	empty(t, e.Temp)
}

func TestSigning(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "sign")
	e := env(t, "Hash", "key")
	s, v := fixture.Must[ocm.Signer](t)(kit.Signers.For("hash/v1")), fixture.Must[ocm.Verifier](t)(kit.Verifiers.For("hash/v1"))
	d := ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: strings.Repeat("ab", 32)}
	value := fixture.Must[ocm.SignatureValue](t)(s.Sign(t.Context(), e, "mine", d, ocm.Spec{Type: "hash/v1"}))
	if value.Algorithm != "hash" || value.MediaType != "text/plain" {
		t.Errorf("signature %+v", value)
	}
	sig := ocm.Signature{Name: "mine", Digest: d, Signature: value}
	found, err := v.Verify(t.Context(), e, sig, ocm.Spec{})
	if err != nil || len(found) == 0 || found[len(found)-1].Check != ocm.FoundSigner {
		t.Errorf("%v %v", found, err)
	}
	wrong := sig
	wrong.Digest.Value = strings.Repeat("cd", 32)
	for what, c := range map[string]struct {
		env *ocm.Env
		sig ocm.Signature
	}{"digest": {e, wrong}, "key": {env(t, "Hash", "other"), sig}, "no key": {&ocm.Env{}, sig}} {
		if found, err := v.Verify(t.Context(), c.env, c.sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) || len(found) > 0 {
			t.Errorf("%s: %v %v", what, found, err)
		}
	}
	sig.Name = "null"
	if found, err := v.Verify(t.Context(), e, sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) || len(found) > 0 {
		t.Errorf("an answer that says nothing: %v %v", found, err)
	}
	if _, err := s.Sign(t.Context(), e, "mine", d, spec(t, "hash/v1", "kye", "x")); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("misspelt configuration: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "credrepo", "credplugin")
	safe := fixture.Must[ocm.CredentialSource](t)(kit.Secrets.For("Safe/v1"))
	id := ocm.Identity{"type": "OCIRegistry", "hostname": "example.org"}
	got := fixture.Must[ocm.Secret](t)(safe.Find(t.Context(), env(t, "Safe", "open sesame"), spec(t, "Safe/v1", "room", "7"), id))
	if len(got) != 1 || got["key"] != "7/example.org" {
		t.Errorf("found %d properties", len(got))
	}
	_, err := safe.Find(t.Context(), env(t, "Safe", "open sesame"), spec(t, "Safe/v1", "room", "7"), ocm.Identity{"hostname": "nowhere"})
	fixture.WantErr(t, err, ocm.ErrNotFound)
	if _, err := safe.Find(t.Context(), env(t, "Safe", "sim sala"), spec(t, "Safe/v1", "room", "7"), id); err == nil || strings.Contains(err.Error(), "sala") || strings.Contains(err.Error(), "closed") {
		t.Errorf("the error may tell secrets: %v", err)
	}
	fixed := fixture.Must[ocm.CredentialSource](t)(kit.Secrets.For("Fixed/v1"))
	got = fixture.Must[ocm.Secret](t)(fixed.Find(t.Context(), nil, spec(t, "Fixed/v1", "value", "v"), id))
	if len(got) != 1 || got["password"] != "v" {
		t.Errorf("found %d properties", len(got))
	}
	_, err = fixed.Find(t.Context(), nil, spec(t, "Fixed/v1", "value", "nonsense"), id)
	fixture.WantErr(t, err, ocm.ErrInvalid, "password")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells the secret: %v", err)
	}
	_, err = fixed.Find(t.Context(), nil, spec(t, "Fixed/v1", "value", "none"), id)
	fixture.WantErr(t, err, ocm.ErrInvalid)
}
