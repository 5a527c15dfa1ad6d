// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// The tests of this file are named after what existing tools are known to lose or to break on
// the way. Each version has something that is transformed, because it is then that they rebuild
// the descriptor from a list of the members that they know.

// carry moves a version with an image by reference from registry to CTF, and returns source and copy.
func carry(t *testing.T, edit func(a *author)) (v, w ocm.Version) {
	t.Helper()
	ref := publish(t, fixture.Registry(t), "team/app", "v1", fixture.Image("by reference"))
	src, dst := repository(memory.New()), repository(fixture.Places()["ctf"](t))
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("blob", text("blob"))
	a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`)).Digest = &ocm.Digest{
		HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Image("by reference").Root.Digest.Encoded()}
	edit(a)
	v = a.commit()
	mustMove(t, src, dst, v, transfer.Options{CopyResources: true})
	w = reopen(t, dst, v)
	complete(t, dst, w)
	if w.Descriptor().Component.Resources[1].Access.Type != oci.LocalBlobType {
		t.Fatalf("nothing was transformed: %s", w.Descriptor().Component.Resources[1].Access.Raw)
	}
	for _, algorithm := range []string{normalise.V1, normalise.V2, normalise.V3, normalise.V4} {
		x := fixture.Must[[]byte](t)(normalise.Normalise(v.Descriptor(), algorithm))
		if y := fixture.Must[[]byte](t)(normalise.Normalise(w.Descriptor(), algorithm)); !bytes.Equal(x, y) {
			t.Errorf("%s differs:\n%s\n%s", algorithm, x, y)
		}
	}
	return v, w
}

func TestTrap_CreationTime(t *testing.T) {
	t.Parallel()
	for _, written := range []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+02:00"} {
		_, w := carry(t, func(a *author) { a.desc.Component.CreationTime = written })
		if got := w.Descriptor().Component.CreationTime; got != written {
			t.Errorf("expected %s, found %q", written, got)
		}
	}
}

func TestTrap_NestedDigestsAndTimestamp(t *testing.T) {
	t.Parallel()
	v, w := carry(t, func(a *author) {
		d := &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: normalise.V3, Value: strings.Repeat("ab", 32)}
		a.desc.NestedDigests = []ocm.NestedDigest{{Name: "acme.org/lib", Version: "1.0.0", Digest: d,
			ResourceDigests: []ocm.NestedResourceDigest{{Name: "r", Version: "1", ExtraIdentity: ocm.Identity{"os": "linux"}, Digest: *d}}}}
		sign(t, a.desc, "release", "v")
		a.desc.Signatures[0].Timestamp = &ocm.Timestamp{Value: "-----BEGIN TIMESTAMP-----", Time: "2026-01-02T03:04:05Z"}
	})
	same(t, v, w, "nestedDigests", func(d *ocm.Descriptor) any { return d.NestedDigests })
	same(t, v, w, "signatures", func(d *ocm.Descriptor) any { return d.Signatures })
}

func TestTrap_LabelVersionAndMerge(t *testing.T) {
	t.Parallel()
	v, w := carry(t, func(a *author) {
		l := ocm.Label{Name: "team", Value: ocm.RawJSON(`{"n":null,"big":12345678901234567890,"f":1.50}`), Version: "v2", Signing: true,
			Merge: &ocm.MergeSpec{Algorithm: "simpleMapMerge", Config: ocm.RawJSON(`{"overwrite":"none"}`)}, Unknown: ocm.RawJSON(`{"x":[1]}`)}
		a.desc.Component.Labels = []ocm.Label{l}
		a.desc.Component.Resources[0].Labels = []ocm.Label{l}
		a.desc.Component.Resources[1].SrcRefs = []ocm.SourceRef{{IdentitySelector: ocm.Identity{"name": "s"}, Labels: []ocm.Label{l}}}
	})
	same(t, v, w, "labels", func(d *ocm.Descriptor) any { return d.Component.Labels })
	same(t, v, w, "resource labels", func(d *ocm.Descriptor) any { return d.Component.Resources[0].Labels })
	same(t, v, w, "srcRefs", func(d *ocm.Descriptor) any { return d.Component.Resources[1].SrcRefs })
}

func same(t *testing.T, v, w ocm.Version, what string, of func(d *ocm.Descriptor) any) {
	t.Helper()
	x, y := v.Descriptor().Clone(), w.Descriptor().Clone()
	for i := range x.Component.Resources { // the only thing that may change
		x.Component.Resources[i].Access, y.Component.Resources[i].Access = ocm.Spec{Type: "t"}, ocm.Spec{Type: "t"}
	}
	a, b := fixture.Must[[]byte](t)(descriptor.JSON(x)), fixture.Must[[]byte](t)(descriptor.JSON(y))
	if !bytes.Equal(a, b) {
		t.Errorf("%s: %v and %v in\n%s\n%s", what, of(v.Descriptor()), of(w.Descriptor()), a, b)
	}
}

func TestTrap_UnknownMembers(t *testing.T) {
	t.Parallel()
	more := ocm.RawJSON(`{"future":{"z":1,"a":[true,null]}}`)
	v, w := carry(t, func(a *author) {
		d := a.desc
		d.Unknown, d.Meta.Unknown, d.Component.Unknown = more, more, more
		d.Component.Resources[0].Unknown, d.Component.Resources[1].Unknown = more, more
		d.Component.Resources[1].Digest.Unknown = more
		a.source("code", text("code"))
		d.Component.Sources[0].Unknown = more
		d.Component.RepositoryContexts = []ocm.Spec{spec(t, `{"type":"OCIRegistry","baseUrl":"x.org","future":1}`)}
		sign(t, d, "release", "v")
		d.Signatures[0].Unknown = more
	})
	same(t, v, w, "unknown members", func(d *ocm.Descriptor) any { return d.Unknown })
}

func TestTrap_BuildMetadata(t *testing.T) {
	t.Parallel()
	for from, open := range fixture.Places() {
		src := repository(open(t))
		a := write(t, src, "acme.org/app", "1.0.0-rc.1+build.7.x", nil)
		a.resource("blob", text("blob"))
		v := a.commit()
		for to, open := range fixture.Places() {
			dst := repository(open(t))
			mustMove(t, src, dst, v, transfer.Options{})
			if w := reopen(t, dst, v); w.Descriptor().Component.Version != "1.0.0-rc.1+build.7.x" {
				t.Errorf("%s to %s: %s", from, to, w.Descriptor().Component.Version)
			}
		}
	}
}

// A digest is the manifest's, the content an archive of it: what is stored is the archive, and the
// digest must not be taken for the archive's.
func TestTrap_ArtifactSet(t *testing.T) {
	t.Parallel()
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			var archive bytes.Buffer
			img := fixture.Image("in an archive")
			if err := blob.WriteLayout(t.Context(), &archive, img, "v1"); err != nil {
				t.Fatal(err)
			}
			set := func(a *author) *ocm.Resource {
				r := a.resource("image", blob.Bytes("application/vnd.oci.image.manifest.v1+tar", archive.Bytes()))
				if r.Digest.Value != img.Root.Digest.Encoded() || r.Digest.NormalisationAlgorithm != ocm.OCIArtifactDigest {
					t.Fatalf("digest %v", r.Digest)
				}
				return r
			}
			src, dst := repository(memory.New()), repository(place(t))
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			set(a)
			v := a.commit()
			mustMove(t, src, dst, v, transfer.Options{CopyResources: true})
			w := reopen(t, dst, v)
			complete(t, dst, w)
			if x, y := v.Descriptor().Origin().Bytes, w.Descriptor().Origin().Bytes; !bytes.Equal(x, y) {
				t.Errorf("the document changed:\n%s\n%s", x, y)
			}
			// and with another image in the archive than the digest says
			a = write(t, src, "acme.org/app", "2.0.0", nil)
			set(a).Digest.Value = fixture.Image("other").Root.Digest.Encoded()
			_, _, err := move(t.Context(), src, dst, a.commit(), transfer.Options{CopyResources: true})
			fixture.WantErr(t, err, ocm.ErrDigest, "resource image", img.Root.Digest.Encoded())
		})
	}
}

// An image that is brought into the target keeps its digest object, whichever of the two names
// it carries.
func TestTrap_RewrittenDigests(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{ocm.OCIArtifactDigest, ocm.GenericBlobDigest, "ociArtefactDigest/v1"} {
		v, w := carry(t, func(a *author) { a.desc.Component.Resources[1].Digest.NormalisationAlgorithm = algorithm })
		if got, want := w.Descriptor().Component.Resources[1].Digest, v.Descriptor().Component.Resources[1].Digest; got.String() != want.String() {
			t.Errorf("expected %v, found %v", want, got)
		}
	}
}

// Manifests of Docker's own schema keep their media type, their bytes and everything below them.
func TestTrap_DockerManifest(t *testing.T) {
	t.Parallel()
	img := fixture.DockerImage("docker layer")
	ref := publish(t, fixture.Registry(t), "docker/app", "v1", img)
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			src, mid, dst := repository(memory.New()), repository(place(t)), repository(fixture.Places()["ctf"](t))
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`)).Digest = &ocm.Digest{
				HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: img.Root.Digest.Encoded()}
			v := a.commit()
			mustMove(t, src, mid, v, transfer.Options{CopyResources: true})
			mustMove(t, mid, dst, reopen(t, mid, v), transfer.Options{}) // embedded by then
			w := reopen(t, dst, v)
			complete(t, dst, w)
			c := fixture.Must[ocm.Content](t)(w.Blob(t.Context(), w.Descriptor().Component.Resources[0].Access))
			if c.Root.MediaType != blob.MediaTypeDockerManifest || c.Root.Digest != img.Root.Digest {
				t.Errorf("found %+v", c.Root)
			}
		})
	}
}

// Local sources travel: the next-generation tool cannot transfer a version that has one.
func TestTrap_LocalSource(t *testing.T) {
	t.Parallel()
	for name, place := range fixture.Places() {
		src, dst := repository(memory.New()), repository(place(t))
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.source("code", text("code"))
		a.source("built", fixture.Index("built from source"))
		v := a.commit()
		_, s := mustMove(t, src, dst, v, transfer.Options{})
		if s.Contents != 2 {
			t.Errorf("%s: %+v", name, s)
		}
		complete(t, dst, reopen(t, dst, v))
	}
}

// Old spellings of local accesses become readable ones where they have to; a blob that is stored
// in parts becomes one blob with the digest that the descriptor says.
func TestTrap_OldLocalAccesses(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	x, y := fixture.Must[ocm.Stored](t)(a.draft.Add(t.Context(), text("first "), "")), fixture.Must[ocm.Stored](t)(a.draft.Add(t.Context(), text("second"), ""))
	parts := a.access("parts", spec(t, `{"type":"localBlob","mediaType":"text/plain","referenceName":"x/y","localReference":"`+x.Root.Digest.String()+","+y.Root.Digest.String()+`"}`))
	d := text("first second").Root.Digest
	parts.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: d.Encoded()}
	undigested := *parts
	undigested.Name, undigested.Digest = "undigested", nil
	a.desc.Component.Resources = append(a.desc.Component.Resources, undigested)
	a.access("file", spec(t, `{"type":"localFilesystemBlob","mediaType":"text/plain","fileName":"sha256.`+x.Root.Digest.Encoded()+`"}`))
	v := a.commit()
	mustMove(t, src, dst, v, transfer.Options{})
	w := reopen(t, dst, v)
	complete(t, dst, w)
	for i, want := range []string{d.String(), d.String(), x.Root.Digest.String()} {
		if l := fixture.Must[oci.LocalBlob](t)(oci.ParseLocal(w.Descriptor().Component.Resources[i].Access)); l.LocalReference != want {
			t.Errorf("%d: %s", i, w.Descriptor().Component.Resources[i].Access.Raw)
		}
	}
	if p, s := mustMove(t, src, dst, v, transfer.Options{}); s.Written != 0 {
		t.Errorf("again: %s", p.Versions[0].State)
	}
}
