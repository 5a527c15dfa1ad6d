// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access"
	"ocm/blob"
	"ocm/oci"
	"ocm/oci/remote"
)

// published is a registry with one image, team/app:v1, and the image's digest.
func published(t testing.TB) (url string, d ociv1.Descriptor) {
	t.Helper()
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); h.Close() })
	store, err := remote.Open(&ocm.Env{}, srv.URL, "", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	repo := store.Repo("team/app")
	c, err := repo.Push(t.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig, Size: -1}, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[]}`, ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageConfig, c.Digest)
	d = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := repo.PutManifest(t.Context(), d, raw, "v1", oci.Any()); err != nil {
		t.Fatal(err)
	}
	return srv.URL, d
}

func spec(t testing.TB, raw string) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOCIArtifact(t *testing.T) {
	t.Parallel()
	url, d := published(t)
	for _, ref := range []string{"/team/app:v1", "/team/app@" + d.Digest.String(), "/team/app:gone@" + d.Digest.String()} {
		c, err := access.OCIArtifact.Open(t.Context(), &ocm.Env{}, spec(t, `{"type":"ociArtifact","imageReference":"`+url+ref+`","other":1}`))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if c.Root.Digest != d.Digest || c.Root.MediaType != d.MediaType || c.Root.Size != d.Size || !strings.HasSuffix(c.Origin, "/team/app") {
			t.Errorf("%s: %+v", ref, c)
		}
		if err := blob.Check(t.Context(), c); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for raw, want := range map[string]error{
		`{"type":"ociArtifact"}`:                                                                                    ocm.ErrInvalid,
		`{"type":"ociArtifact","imageReference":""}`:                                                                ocm.ErrInvalid,
		`{"type":"ociArtifact","imageReference":7}`:                                                                 ocm.ErrInvalid,
		`{"type":"ociArtifact","imageReference":"` + url + `/UPPER:v1"}`:                                            ocm.ErrInvalid,
		`{"type":"ociArtifact","imageReference":"` + url + `/team/app@sha256:../../etc"}`:                           ocm.ErrInvalid,
		`{"type":"ociArtifact","imageReference":"` + url + `/team/app:v2"}`:                                         ocm.ErrNotFound,
		`{"type":"ociArtifact","imageReference":"` + url + `/team/app:v1@` + digest.FromString("x").String() + `"}`: ocm.ErrNotFound,
	} {
		if _, err := access.OCIArtifact.Open(t.Context(), &ocm.Env{}, spec(t, raw)); !errors.Is(err, want) {
			t.Errorf("%s: expected %q, found %v", raw, want, err)
		}
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	if _, err := access.None.Open(t.Context(), nil, ocm.Spec{Type: "none"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("found %v", err)
	}
}

func ExampleOCIArtifact() {
	s, err := ocm.NewSpec(map[string]string{"type": "ociArtifact", "imageReference": "not a reference"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = access.OCIArtifact.Open(context.Background(), &ocm.Env{}, s)
	fmt.Println(errors.Is(err, ocm.ErrInvalid))
	// Output: true
}
