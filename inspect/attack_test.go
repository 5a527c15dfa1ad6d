// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"archive/tar"
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
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/inspect"
	"ocm/oci"
	"ocm/oci/memory"
)

// digested makes a version with one resource of the content, which has the digest.
func digested(t *testing.T, c ocm.Content, d *ocm.Digest) ocm.Version {
	t.Helper()
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	draft, err := repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := draft.Add(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	v, err := draft.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{
		Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "image", Version: "1.0.0"}, Type: "ociImage", Relation: "local", Access: s.Access, Digest: d}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// image is the manifest of an image with one layer, and its blobs.
func layeredImage(layer string) (ociv1.Descriptor, map[digest.Digest][]byte) {
	blobs := map[digest.Digest][]byte{}
	put := func(mediaType string, raw []byte) ociv1.Descriptor {
		d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		blobs[d.Digest] = raw
		return d
	}
	raw, _ := json.Marshal(ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: put("application/vnd.oci.image.config.v1+json", []byte("{}")), Layers: []ociv1.Descriptor{put("text/plain", []byte(layer))}})
	return put(ociv1.MediaTypeImageManifest, raw), blobs
}

// A digest of an OCI artifact covers the artifact and not the archive that it is stored in. What somebody adds
// to the archive passes verification, so it must not get to those who download.
func TestUnsignedPartsOfALayoutAreNotDownloaded(t *testing.T) {
	good, blobs := layeredImage("good")
	evil, more := layeredImage("evil")
	evil.Annotations = map[string]string{ociv1.AnnotationRefName: "1.0.0"}
	index, _ := json.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ociv1.Descriptor{evil, good},
		Annotations: map[string]string{"software.ocm/main": good.Digest.String()}})
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	add := func(name string, raw []byte) {
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(raw)), Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	add("index.json", index)
	add("install.sh", []byte("evil"))
	for _, m := range []map[digest.Digest][]byte{blobs, more} {
		for d, raw := range m {
			if d != digest.FromString("{}") || len(m) == len(blobs) && m[good.Digest] != nil {
				add("blobs/sha256/"+d.Encoded(), raw)
			}
		}
	}
	tw.Close()
	want := &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: good.Digest.Encoded()}
	v := digested(t, blob.Bytes(blob.MediaTypeLayout, archive.Bytes()), want)
	r := &v.Descriptor().Component.Resources[0]
	kit, env := builtin.Kit(), &ocm.Env{}
	if c, err := graph.Content(t.Context(), kit, env, v, r.Access); err != nil || graph.Check(t.Context(), c, *want) != nil {
		t.Fatalf("the attack does not pass verification: %v", err)
	}
	for _, policy := range []string{inspect.FormAuto, inspect.FormBlob} {
		path := filepath.Join(t.TempDir(), "out")
		_, err := inspect.Download(t.Context(), kit, env, v, r, path, inspect.DownloadOptions{Form: policy})
		info, statErr := os.Stat(path)
		isDir := statErr == nil && info.IsDir()
		if err != nil || isDir != (policy == inspect.FormAuto) {
			t.Fatal(isDir, err)
		}
		var all strings.Builder
		err = filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(p)
			all.WriteString(p + " " + string(raw))
			return err
		})
		if err != nil || strings.Contains(all.String(), "evil") || strings.Contains(all.String(), evil.Digest.Encoded()) || !strings.Contains(all.String(), good.Digest.Encoded()) {
			t.Errorf("%s: what no digest covers was downloaded (%v):\n%s", policy, err, all.String())
		}
	}
}
