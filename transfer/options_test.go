// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

func TestWhichContentsMove(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	access := spec(t, `{"type":"ociArtifact","imageReference":"`+publish(t, url, "x", "v1", fixture.Image("x"))+`"}`)
	for _, c := range []struct {
		name string
		o    transfer.Options
		want string // of: local resource, its own image, a foreign image, local source, remote source
	}{
		{"nothing said", transfer.Options{}, "copy keep keep keep copy keep"},
		{"resources", transfer.Options{CopyResources: true}, "copy copy copy keep copy keep"},
		{"local ones", transfer.Options{CopyLocal: true}, "copy copy keep keep copy keep"},
		{"sources", transfer.Options{CopySources: true}, "copy keep keep keep copy copy"},
		{"all but", transfer.Options{CopyResources: true, CopySources: true, OmitAccess: []string{"ociArtifact"}}, "copy keep keep keep copy keep"},
		{"local blobs cannot be omitted", transfer.Options{OmitAccess: []string{"localBlob/v1"}}, "copy keep keep keep copy keep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := repository(memory.New()), repository(memory.New())
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			a.resource("blob", text("blob"))
			a.access("own", access).Relation = ocm.RelationLocal
			a.access("foreign", access)
			a.access("none", ocm.Spec{Type: "none"})
			a.source("code", text("code"))
			a.desc.Component.Sources = append(a.desc.Component.Sources, ocm.Source{Element: ocm.Element{Name: "repo", Version: "1.0.0"}, Type: "git", Access: access})
			p, _ := mustMove(t, src, dst, a.commit(), c.o)
			got := ""
			for _, m := range p.Versions[0].Moves {
				got += " " + m.Action
			}
			if got[1:] != c.want {
				t.Errorf("expected %q, found %q", c.want, got[1:])
			}
		})
	}
}

// What cannot be copied is an error before anything is written.
func TestUnknownAccess(t *testing.T) {
	t.Parallel()
	src, target := repository(memory.New()), &faulty{Store: memory.New()}
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("blob", text("blob"))
	a.access("far", spec(t, `{"type":"carrierPigeon/v7","loft":"north"}`))
	v, dst := a.commit(), repository(target)
	_, _, err := move(t.Context(), src, dst, v, transfer.Options{CopyResources: true})
	fixture.WantErr(t, err, ocm.ErrUnknownType, "acme.org/app:1.0.0", "resource far", "carrierPigeon/v7", "--omit-access-types")
	if len(target.writes) != 0 {
		t.Errorf("written: %q", target.writes)
	}
	for _, o := range []transfer.Options{{}, {CopyResources: true, OmitAccess: []string{"carrierPigeon/v7"}}} {
		mustMove(t, src, dst, v, o)
		if got := string(reopen(t, dst, v).Descriptor().Component.Resources[1].Access.Raw); got != `{"type":"carrierPigeon/v7","loft":"north"}` {
			t.Errorf("access: %s", got)
		}
	}
	// what the target keeps need not be understood
	mustMove(t, src, dst, v, transfer.Options{CopyResources: true, KeepExisting: true})
}

// Accesses that stay are passed on as they were written, with members that nobody here knows.
func TestAccessesStayUnread(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"type":"ociArtifact","imageReference":"ghcr.io/acme/app:1","x":{"b":1,"a":2}}`,
		`{"imageReference":"not even a reference","type":"OCIImage/v1"}`,
		`{"type":"wget","url":"https://acme.org/file","header":{"X":["y"]}}`,
		`{"type":"none"}`,
		`{"type":"s3","region":"x","bucket":"b","key":"k"}`,
	} {
		src, dst := repository(memory.New()), repository(memory.New())
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.access("far", spec(t, raw))
		a.resource("blob", text("blob")) // something is transformed beside it
		v := a.commit()
		mustMove(t, src, dst, v, transfer.Options{})
		if got := string(reopen(t, dst, v).Descriptor().Component.Resources[0].Access.Raw); got != raw {
			t.Errorf("expected %s, found %s", raw, got)
		}
	}
}

// An access that means a place in the source repository must not be left dangling.
func TestRelativeReferenceIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	for access, typ := range map[string]string{
		`{"type":"relativeOciReference","reference":"acme/app:1"}`: "relativeOciReference",
		`{"type":"ocm","resourceRef":{"resource":{"name":"x"}}}`:   "ocm",
	} {
		src, target := repository(memory.New()), &faulty{Store: memory.New()}
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.access("image", spec(t, access))
		v := a.commit()
		for _, o := range []transfer.Options{{OmitAccess: []string{typ}}, {CopyResources: true, OmitAccess: []string{typ}}} {
			_, _, err := move(t.Context(), src, repository(target), v, o)
			fixture.WantErr(t, err, ocm.ErrInvalid, "resource image", "relative to the source")
		}
		// what it leads to is not there
		_, _, err := move(t.Context(), src, repository(target), v, transfer.Options{})
		fixture.WantErr(t, err, ocm.ErrNotFound, "resource image")
		if _, err := repository(target).Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("the target shows the version: %v", err)
		}
	}
}

// What an access means in the source repository is stored beside the descriptor, in each kind of store, whether or
// not content from elsewhere is copied; signatures stay good, and doing it again does nothing.
func TestRelativeReferenceIsCopied(t *testing.T) {
	t.Parallel()
	for place, open := range fixture.Places() {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			store, image := open(t), fixture.Index("layer")
			src := repository(store)
			s, ok := src.(*oci.Repository)
			if !ok {
				t.Fatal("no OCI mapping")
			}
			put(t, store.Repo("acme/app"), image, "1")
			a := write(t, s, "acme.org/app", "1.0.0", nil)
			r := a.access("image", spec(t, `{"type":"relativeOciReference","reference":"acme/app:1"}`))
			r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: image.Root.Digest.Encoded()}
			a.resource("text", text("text"))
			a.access("near", spec(t, `{"type":"ocm","resourceRef":{"resource":{"name":"text"}}}`))
			v := a.commit()
			for _, o := range []transfer.Options{{}, {CopyResources: true}} {
				for kind, to := range fixture.Places() {
					dst := repository(to(t))
					mustMove(t, src, dst, v, o)
					there := reopen(t, dst, v)
					for i, typ := range []string{"localBlob/v1", "localBlob/v1", "localBlob/v1"} {
						if got := there.Descriptor().Component.Resources[i].Access; got.Type != typ {
							t.Errorf("%s: expected %s, found %s", kind, typ, got.Raw)
						}
					}
					complete(t, dst, there)
					if p, _ := mustMove(t, src, dst, v, o); p.Versions[0].State != transfer.Identical {
						t.Errorf("%s: again: %s", kind, p.Versions[0].State)
					}
				}
			}
			// in a registry it gets its name back
			url := fixture.Registry(t)
			dst := repository(fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, "base", remote.Options{})))
			mustMove(t, src, dst, v, transfer.Options{UploadAs: transfer.UploadOCIArtifact})
			if got := string(reopen(t, dst, v).Descriptor().Component.Resources[0].Access.Raw); !strings.Contains(got, "/base/acme/app:1@"+image.Root.Digest.String()) {
				t.Errorf("found %s", got)
			}
			// the tag has moved: the digest tells
			put(t, store.Repo("acme/app"), fixture.Index("other"), "1")
			_, _, err := move(t.Context(), src, repository(memory.New()), v, transfer.Options{})
			fixture.WantErr(t, err, ocm.ErrDigest, "resource image")
		})
	}
}

func TestContentDiffers(t *testing.T) {
	t.Parallel()
	src, target := repository(memory.New()), &faulty{Store: memory.New()}
	dst := repository(target)
	a := write(t, dst, "acme.org/app", "1.0.0", nil)
	a.resource("readme", text("old"))
	old := a.commit()
	a = write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("readme", text("new"))
	v := a.commit()

	writes := len(target.writes)
	_, _, err := move(t.Context(), src, dst, v, transfer.Options{})
	fixture.WantErr(t, err, ocm.ErrExists, "acme.org/app:1.0.0", "source has …", "--overwrite")
	p, s := mustMove(t, src, dst, v, transfer.Options{KeepExisting: true})
	if p.Versions[0].State != transfer.Kept || s.Written != 0 || p.Versions[0].Moves[0].Action != transfer.Keep {
		t.Errorf("%+v %+v", p.Versions[0], s)
	}
	if w := reopen(t, dst, v); w.Manifest().Digest != old.Manifest().Digest || len(target.writes) != writes {
		t.Error("the target changed")
	}
	p, s = mustMove(t, src, dst, v, transfer.Options{Overwrite: true})
	if p.Versions[0].State != transfer.Overwrite || s.Written != 1 {
		t.Errorf("%+v %+v", p.Versions[0], s)
	}
	w := reopen(t, dst, v)
	complete(t, dst, w)
	if w.Descriptor().Component.Resources[0].Digest.Value != v.Descriptor().Component.Resources[0].Digest.Value {
		t.Error("not overwritten")
	}
}

// All versions that are in the way are named at once.
func TestAllConflictsAreNamed(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	v := product(t, src)
	for _, name := range []string{"acme.org/lib", "acme.org/base"} {
		write(t, dst, name, "1.0.0", nil).commit()
	}
	_, err := plan(t.Context(), src, dst, v, transfer.Options{})
	fixture.WantErr(t, err, ocm.ErrExists, "acme.org/lib:1.0.0", "acme.org/base:1.0.0")
	if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0+build.1"); !errors.Is(err, ocm.ErrNotFound) {
		t.Error("the root was written:", err)
	}
}
