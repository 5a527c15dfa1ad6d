// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
)

// publish stores an artifact in a repository of its own.
func publish(t *testing.T, repo oci.Repo, c ocm.Content, tag string) {
	t.Helper()
	err := blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if raw == nil {
			rc := fixture.Must[io.ReadCloser](t)(c.From.Fetch(t.Context(), d))
			defer rc.Close()
			_, err := repo.Push(t.Context(), d, rc)
			return err
		}
		name := ""
		if d.Digest == c.Root.Digest {
			name = tag
		}
		return repo.PutManifest(t.Context(), d, raw, name, oci.Any())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func access(t *testing.T, typ, member, value string) ocm.Spec {
	t.Helper()
	return fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": typ, member: value}))
}

// Each kind of store serves artifacts in its own repositories. The first element of a path looks like a
// host sometimes, and is none: nobody else is asked.
func TestRelativeReferences(t *testing.T) {
	for place, open := range fixture.Places() {
		t.Run(place, func(t *testing.T) {
			store := open(t)
			image := fixture.Image("layer")
			publish(t, store.Repo("ghcr.io/acme/app"), image, "1.0")
			publish(t, store.Repo("app"), image, "latest")
			commit(t, store, "1.0.0", blob.Bytes("text/plain", []byte("one")))
			r := oci.NewRepository(store, &ocm.Env{})
			v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
			if found, ok := v.(interface{ In() ocm.Repository }); !ok || found.In() != ocm.Repository(r) {
				t.Error("the version does not know its repository")
			}
			for _, ref := range []string{"ghcr.io/acme/app:1.0", "ghcr.io/acme/app@" + image.Root.Digest.String(), "ghcr.io/acme/app:gone@" + image.Root.Digest.String(), "app"} {
				c, err := v.Blob(t.Context(), access(t, "relativeOciReference", "reference", ref))
				if err != nil || c.Root.Digest != image.Root.Digest || c.Root.MediaType != image.Root.MediaType {
					t.Errorf("%s: %+v, %v", ref, c.Root, err)
					continue
				}
				if err := blob.Check(t.Context(), c); err != nil {
					t.Errorf("%s: %v", ref, err)
				}
			}
			for _, ref := range []string{"ghcr.io/acme/app:2.0", "acme/app:1.0", "app@" + digest.FromString("x").String()} {
				if _, err := v.Blob(t.Context(), access(t, "relativeOciReference/v1", "reference", ref)); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("%s: %v", ref, err)
				}
			}
		})
	}
}

// CVE-2024-3727 and others: a path or digest of a descriptor does not lead out of the repository.
func TestRelativeReferencesStayInTheirRepository(t *testing.T) {
	sum := digest.FromString("x").String()
	for _, ref := range []string{
		"", "..", "../app:1", "a/../../b:1", "a/./b", "/a:1", "//host/a:1", "https://host/a:1", "host:5000/a:1", `a\b:1`, "a/", "a//b", "A/b:1", "a b", "user:password@host/a",
		"a:", "a:.x", "a:x/../y", "a:" + strings.Repeat("x", 129), "a@sha256:../../etc", "a@" + strings.ToUpper(sum), "a@", "%2e%2e/a:1", "a?x=y", "a#b",
		"component-descriptors/acme.org/app:1.0.0", "component-descriptors", strings.Repeat("a/", oci.MaxRelative) + "a",
	} {
		if path, tag, err := oci.ParseRelative(access(t, "relativeOciReference", "reference", ref)); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%.100q was read as %q and %q, %v", ref, path, tag, err)
		}
	}
}

func FuzzParseRelative(f *testing.F) {
	f.Add("acme.org/app:1.0")
	f.Add("a@" + digest.FromString("x").String())
	f.Add("../a:1")
	f.Fuzz(func(t *testing.T, ref string) {
		s, err := ocm.NewSpec(map[string]string{"type": "relativeOciReference", "reference": ref})
		if err != nil {
			return
		}
		path, tag, err := oci.ParseRelative(s)
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("%q: %v", ref, err)
			}
			return
		}
		if strings.Contains("/"+path+"/", "/../") || strings.HasPrefix(path, "/") || strings.Contains(path, ":") || strings.Contains(tag, "/") || !strings.HasPrefix(ref, path) {
			t.Errorf("%q was read as %q and %q", ref, path, tag)
		}
	})
}

// What older tools wrote is read in each kind of store: a file's name, a digest under another name, a list of
// digests of a blob that was stored in pieces.
func TestOlderLocalAccesses(t *testing.T) {
	for place, open := range fixture.Places() {
		t.Run(place, func(t *testing.T) {
			store := open(t)
			commit(t, store, "1.0.0", blob.Bytes("text/plain", []byte("one")), blob.Bytes("text/plain", []byte("two")))
			v := fixture.Must[ocm.Version](t)(oci.NewRepository(store, &ocm.Env{}).Open(t.Context(), name, "1.0.0"))
			one, two := digest.FromString("one"), digest.FromString("two")
			for _, c := range []struct {
				s    ocm.Spec
				want string
			}{
				{access(t, "localFilesystemBlob", "fileName", "sha256."+one.Encoded()), "one"},
				{access(t, "localFilesystemBlob/v1", "fileName", two.String()), "two"},
				{access(t, "localOciBlob", "digest", one.String()), "one"},
				{access(t, "localOciBlob/v1", "digest", two.String()), "two"},
				{access(t, "localBlob", "localReference", one.String()+","+two.String()+", "+one.String()), "onetwoone"},
			} {
				content, err := v.Blob(t.Context(), c.s)
				if err != nil {
					t.Errorf("%s: %v", c.s.Raw, err)
					continue
				}
				rc := fixture.Must[io.ReadCloser](t)(blob.OpenContent(t.Context(), content))
				if b, err := io.ReadAll(rc); err != nil || string(b) != c.want || content.Root.MediaType == "" {
					t.Errorf("%s: %q, %+v, %v", c.s.Raw, b, content.Root, err)
				}
				rc.Close()
			}
			lost := digest.FromString("lost").String()
			for _, s := range []ocm.Spec{access(t, "localOciBlob", "digest", lost), access(t, "localBlob", "localReference", one.String()+","+lost)} {
				if _, err := v.Blob(t.Context(), s); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("%s: %v", s.Raw, err)
				}
			}
		})
	}
}

func TestTypesAreDescribed(t *testing.T) {
	for _, typ := range oci.Types() {
		if typ.About == "" || len(typ.Fields) == 0 {
			t.Errorf("%v is not described", typ.Names)
		}
		for _, name := range typ.Names {
			if oci.IsLocal(name) == oci.IsRelative(name) {
				t.Errorf("%s is served by nobody", name)
			}
		}
	}
}
