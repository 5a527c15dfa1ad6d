// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// An image with a signature of cosign and an SBOM goes through an archive into a registry without a
// referrers API. Other people's tools find there what they know.
func TestAttachedContentIsFoundByOthers(t *testing.T) {
	skopeo := tool(t, "skopeo")
	p := pack(t)
	docker := fixture.DockerRegistry(t)
	env := &ocm.Env{Job: ocm.NewJob(4)}
	from := fixture.Must[*remote.Store](t)(remote.Open(env, "http://"+p.host, "", remote.Options{})).Repo(oci.RepoName("acme.org/interop"))
	root := fixture.Must[ociv1.Descriptor](t)(from.Resolve(t.Context(), p.image[strings.Index(p.image, "@")+1:]))
	signature := "sha256-" + root.Digest.Encoded() + ".sig"
	payload := []byte(`{"critical":{"image":{"docker-manifest-digest":"` + root.Digest.String() + `"}}}`)
	attach(t, from, signature, payload, ociv1.Manifest{})
	sbom := attach(t, from, "", []byte(`{"spdxVersion":"SPDX-2.3"}`), ociv1.Manifest{ArtifactType: "application/spdx+json", Subject: &root})

	archive := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(t.TempDir(), "ctf"))), env)
	source := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(env, "http://"+p.host, "", remote.Options{})), env)
	target := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(env, docker, "", remote.Options{})), env)
	moveVersion(t, source, archive)
	moveVersion(t, archive, target)

	at := "docker://" + strings.TrimPrefix(docker, "http://") + "/" + oci.RepoName("acme.org/interop")
	dir := t.TempDir()
	run(t, skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", at+"@"+root.Digest.String(), "dir:"+dir)
	if got, err := os.ReadFile(filepath.Join(dir, digest.FromBytes(p.layer).Encoded())); err != nil || !bytes.Equal(got, p.layer) {
		t.Errorf("layer: %v", err)
	}
	run(t, skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", at+":"+signature, "dir:"+dir)
	if got, err := os.ReadFile(filepath.Join(dir, digest.FromBytes(payload).Encoded())); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("signature: %v", err)
	}
	// The index under the fallback tag is what clients of the specification look for.
	var index ociv1.Index
	raw := run(t, skopeo, "inspect", "--raw", "--tls-verify=false", at+":"+oci.ReferrersTag(root.Digest))
	if err := json.Unmarshal([]byte(raw), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != sbom.Digest || index.Manifests[0].ArtifactType != "application/spdx+json" {
		t.Errorf("expected the SBOM %s in the index, found %s", sbom.Digest, raw)
	}
	crane := tool(t, "crane")
	run(t, crane, "validate", "--insecure", "--remote", strings.TrimPrefix(at, "docker://")+"@"+root.Digest.String())
}

// attach stores a manifest with one layer.
func attach(t *testing.T, r oci.Repo, tag string, layer []byte, m ociv1.Manifest) ociv1.Descriptor {
	t.Helper()
	must := fixture.Must[ociv1.Descriptor](t)
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ociv1.MediaTypeImageManifest
	m.Config = must(r.Push(t.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig}, strings.NewReader("{}")))
	m.Layers = []ociv1.Descriptor{must(r.Push(t.Context(), ociv1.Descriptor{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json"}, bytes.NewReader(layer)))}
	raw := fixture.Must[[]byte](t)(json.Marshal(m))
	d := ociv1.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

// moveVersion copies the component with its images as they are.
func moveVersion(t *testing.T, from, to *oci.Repository) {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(from.Open(t.Context(), "acme.org/interop", "1.0.0"))
	draft := fixture.Must[ocm.Draft](t)(to.Draft(t.Context(), "acme.org/interop", "1.0.0", nil))
	defer draft.Close()
	d := v.Descriptor().Clone()
	for i := range d.Component.Resources {
		c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), d.Component.Resources[i].Access))
		d.Component.Resources[i].Access = fixture.Must[ocm.Stored](t)(draft.Add(t.Context(), c, "")).Access
	}
	fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), d))
}
