// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

// base opens the part of a registry below a path.
func base(t testing.TB, url, path string) *remote.Store {
	t.Helper()
	return fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, path, remote.Options{}))
}

// named adds an artifact that has a name of its own.
func (a *author) named(name, referenceName string, c ocm.Content) *ocm.Resource {
	a.t.Helper()
	r := a.resource(name, c)
	l := fixture.Must[oci.LocalBlob](a.t)(oci.ParseLocal(r.Access))
	l.ReferenceName = referenceName
	r.Access = fixture.Must[ocm.Spec](a.t)(ocm.NewSpec(l))
	return r
}

func imageOf(t testing.TB, v ocm.Version, i int) string {
	t.Helper()
	var a oci.Artifact
	if err := v.Descriptor().Component.Resources[i].Access.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a.ImageReference
}

// checkContents reads everything that the resources of a version lead to.
func checkContents(t testing.TB, v ocm.Version) {
	t.Helper()
	for _, r := range v.Descriptor().Component.Resources {
		c, err := graph.Content(t.Context(), builtin.Kit(), newEnv(), v, r.Access)
		if err == nil {
			err = graph.Check(t.Context(), c, *r.Digest)
		}
		if err != nil {
			t.Errorf("resource %s: %v", r.Name, err)
		}
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	upload := transfer.Options{UploadAs: transfer.UploadOCIArtifact, CopyResources: true}
	url := fixture.Registry(t)
	far := publish(t, fixture.Registry(t), "team/far", "v2", fixture.Index("far"))
	src := repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.named("near", "team/near:v1", fixture.Image("near"))
	a.named("docker", "team/docker", fixture.DockerImage("docker"))
	a.resource("nameless", fixture.Image("nameless"))
	a.named("file", "team/file:v1", text("no artifact"))
	r := a.access("far", spec(t, `{"type":"OCIImage/v1","imageReference":"`+far+`"}`))
	r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Index("far").Root.Digest.Encoded()}
	sign(t, a.desc, "release", "signed")
	v := a.commit()

	dst := repository(base(t, url, "base/sub"))
	p, s := mustMove(t, src, dst, v, upload)
	var actions []string
	for _, m := range p.Versions[0].Moves {
		actions = append(actions, m.Action)
	}
	if got := strings.Join(actions, " "); got != "upload upload copy copy upload" || s.Contents != 5 {
		t.Errorf("%s, %+v", got, s)
	}
	w := reopen(t, dst, v)
	at := url + "/base/sub/team/"
	for i, want := range map[int]string{
		0: at + "near:v1@" + fixture.Image("near").Root.Digest.String(),
		1: at + "docker@" + fixture.DockerImage("docker").Root.Digest.String(),
		4: at + "far:v2@" + fixture.Index("far").Root.Digest.String(),
	} {
		if got := imageOf(t, w, i); got != want || w.Descriptor().Component.Resources[i].Access.Type != "ociArtifact/v1" {
			t.Errorf("resource %d: expected %s, found %s", i, want, got)
		}
	}
	checkContents(t, w)
	// again, and back to where everything is beside the descriptor
	if p, s := mustMove(t, src, dst, v, upload); s.Written != 0 || p.Versions[0].State != transfer.Identical {
		t.Errorf("second: %s %+v", p.Versions[0].State, s)
	}
	back := repository(memory.New())
	mustMove(t, dst, back, w, upload) // no registry: beside the descriptor
	x := reopen(t, back, v)
	complete(t, back, x)
	if l := fixture.Must[oci.LocalBlob](t)(oci.ParseLocal(x.Descriptor().Component.Resources[0].Access)); l.ReferenceName != "base/sub/team/near:v1" {
		t.Errorf("its name is %q", l.ReferenceName)
	}
	// what was beside the descriptor gets a repository when that is asked for later
	late := repository(base(t, url, "late"))
	mustMove(t, src, late, v, transfer.Options{CopyResources: true})
	p, _ = mustMove(t, src, late, v, upload)
	if got := imageOf(t, reopen(t, late, v), 0); p.Versions[0].State != transfer.Merge || !strings.HasPrefix(got, url+"/late/team/near:v1@") {
		t.Errorf("%s %s", p.Versions[0].State, got)
	}
}

// Without a digest to compare with, a second run changes nothing either.
func TestUploadWithoutDigest(t *testing.T) {
	t.Parallel()
	ref := publish(t, fixture.Registry(t), "team/far", "v2", fixture.Image("far"))
	src, dst := repository(memory.New()), repository(base(t, fixture.Registry(t), ""))
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.access("far", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`))
	a.named("near", "team/near:v1", fixture.Image("near")).Digest = nil
	v := a.commit()
	o := transfer.Options{UploadAs: transfer.UploadOCIArtifact, CopyResources: true}
	mustMove(t, src, dst, v, o)
	if p, s := mustMove(t, src, dst, v, o); s.Written != 0 || p.Versions[0].State != transfer.Identical {
		t.Errorf("second: %s %+v", p.Versions[0].State, s)
	}
}

// Two contents never get the same name in silence, whether that shows in the plan or while they move.
func TestUploadCollision(t *testing.T) {
	t.Parallel()
	one, two := fixture.Registry(t), fixture.Registry(t)
	x, y := publish(t, one, "team/app", "v1", fixture.Image("one")), publish(t, two, "team/app", "v1", fixture.Image("two"))
	o := transfer.Options{UploadAs: transfer.UploadOCIArtifact, CopyResources: true, Overwrite: true}
	for name, edit := range map[string]func(a *author){
		"known": func(a *author) {
			a.named("a", "team/app:v1", fixture.Image("one"))
			a.named("b", "team/app:v1", fixture.Image("two"))
		},
		"unknown": func(a *author) {
			a.access("a", spec(t, `{"type":"ociArtifact","imageReference":"`+x+`"}`))
			a.access("b", spec(t, `{"type":"ociArtifact","imageReference":"`+y+`"}`))
		},
	} {
		src, dst := repository(memory.New()), repository(base(t, fixture.Registry(t), "x"))
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		edit(a)
		v := a.commit()
		_, _, err := move(t.Context(), src, dst, v, o)
		fixture.WantErr(t, err, transfer.ErrTag, "x/team/app:v1 would be", "resource a", "resource b", fixture.Image("one").Root.Digest.String(), fixture.Image("two").Root.Digest.String())
		if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0"); err == nil {
			t.Errorf("%s: the version is visible", name)
		}
	}
}

// A tag of the target that leads elsewhere stays, unless one says otherwise.
func TestUploadTagIsTaken(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	store := base(t, url, "")
	publish(t, url, "team/app", "v1", fixture.Image("theirs"))
	src, dst := repository(memory.New()), repository(store)
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.named("a", "team/app:v1", fixture.Image("ours"))
	v := a.commit()
	o := transfer.Options{UploadAs: transfer.UploadOCIArtifact}
	p := fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, o))
	ours, theirs := fixture.Image("ours").Root.Digest, fixture.Image("theirs").Root.Digest
	fixture.WantErr(t, p.Measure(t.Context()), transfer.ErrTag, "--overwrite", ours.String(), theirs.String())
	_, err := p.Run(t.Context())
	fixture.WantErr(t, err, transfer.ErrTag, "resource a", "--overwrite", ours.String(), theirs.String())
	if got, _ := store.Repo("team/app").Resolve(t.Context(), "v1"); got.Digest != theirs {
		t.Errorf("the tag was moved to %s", got.Digest)
	}
	o.Overwrite = true
	mustMove(t, src, dst, v, o)
	if got, _ := store.Repo("team/app").Resolve(t.Context(), "v1"); got.Digest != ours {
		t.Errorf("the tag is at %s", got.Digest)
	}
}

// A name in a descriptor must not lead into the place of component versions, or out of the target.
func TestAttack_UploadName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"component-descriptors/acme.org/other:1.0.0", "x/component-descriptors/acme.org/other:1.0.0", "component-descriptors:1",
		"../up:1", "/root:1", "a//b:1", "UPPER/case:1", "x y:1", "team/app:bad tag", "evil.example:5000/x:1", "a?b=c:1", "a#b:1",
	} {
		src, dst := repository(memory.New()), repository(base(t, fixture.Registry(t), "base"))
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.named("image", name, fixture.Image("evil"))
		v := a.commit()
		_, err := plan(t.Context(), src, dst, v, transfer.Options{UploadAs: transfer.UploadOCIArtifact})
		fixture.WantErr(t, err, ocm.ErrInvalid, "resource image", "--upload-as localBlob")
		mustMove(t, src, dst, v, transfer.Options{})
	}
}

func TestUploadAsSomethingElse(t *testing.T) {
	t.Parallel()
	src := repository(memory.New())
	v := write(t, src, "acme.org/app", "1.0.0", nil).commit()
	_, err := plan(t.Context(), src, repository(memory.New()), v, transfer.Options{UploadAs: "elsewhere"})
	fixture.WantErr(t, err, ocm.ErrInvalid, "elsewhere")
}
