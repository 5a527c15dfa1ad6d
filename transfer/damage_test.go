// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci/memory"
	"ocm/transfer"
)

// Each file of the source is absent, empty, shorter, longer or other bytes than it should be, one
// after the other: the transfer names what is wrong, and the target shows nothing that needs it.
func TestDamagedSource(t *testing.T) {
	t.Parallel()
	damages := map[string]func(path string, raw []byte) error{
		"absent":    func(path string, _ []byte) error { return os.Remove(path) },
		"empty":     func(path string, _ []byte) error { return rewrite(path, nil) },
		"shorter":   func(path string, raw []byte) error { return rewrite(path, raw[:len(raw)-1]) },
		"longer":    func(path string, raw []byte) error { return rewrite(path, append(raw[:len(raw):len(raw)], 0)) },
		"other":     func(path string, raw []byte) error { raw[len(raw)/2] ^= 1; return rewrite(path, raw) },
		"directory": func(path string, _ []byte) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
	}
	for _, to := range []string{"ctf", "memory"} {
		for what, damage := range damages {
			t.Run(what+" to "+to, func(t *testing.T) {
				t.Parallel()
				damagedSource(t, to, damage)
			})
		}
	}
}

func rewrite(path string, raw []byte) error {
	return errors.Join(os.Remove(path), os.WriteFile(path, raw, 0o444)) //nolint:gosec // as the others are
}

func damagedSource(t *testing.T, to string, damage func(path string, raw []byte) error) {
	dir := filepath.Join(tempDir(t), "ctf")
	src := repository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)))
	v := twoVersions(t, src, 1000)
	src.Close()
	files := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(dir, "blobs", "*")))
	if len(files) < 15 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		raw := fixture.Must[[]byte](t)(os.ReadFile(file))
		if err := damage(file, append([]byte{}, raw...)); err != nil {
			t.Fatal(err)
		}
		src := repository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)))
		dst := repository(fixture.Places()[to](t))
		w, err := src.Open(t.Context(), "acme.org/app", "1.0.0")
		if err == nil {
			_, _, err = move(t.Context(), src, dst, w, transfer.Options{})
		}
		hex := strings.TrimPrefix(filepath.Base(file), "sha256.")
		if err == nil || !strings.Contains(err.Error(), hex) {
			t.Errorf("expected an error that names %s, found %v", hex, err)
		}
		for _, name := range []string{"acme.org/app", "acme.org/lib"} {
			switch w, err := dst.Open(t.Context(), name, "1.0.0"); {
			case err == nil:
				complete(t, dst, w)
			case !errors.Is(err, ocm.ErrNotFound):
				t.Errorf("%s is neither there nor absent: %v", name, err)
			}
		}
		src.Close()
		os.RemoveAll(file)
		if err := os.WriteFile(file, raw, 0o444); err != nil { //nolint:gosec // as the others are
			t.Fatal(err)
		}
	}
	src = repository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)))
	dst := repository(fixture.Places()[to](t)) // what was damaged was put right
	defer src.Close()
	mustMove(t, src, dst, reopen(t, src, v), transfer.Options{})
	complete(t, dst, reopen(t, dst, v))
}

// hostileImage is an image index of our making with one entry.
func hostileImage(entry string) ocm.Content {
	h := fixture.Heap{}
	return ocm.Content{From: h, Root: h.Put(ociv1.MediaTypeImageIndex,
		fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociv1.MediaTypeImageIndex, entry))}
}

// Documents that mean two things, or nothing, do not travel, wherever they come from.
func TestCVE_2021_41190_HostileImages(t *testing.T) {
	t.Parallel()
	image := fixture.Image("layer")
	raw := string(image.From.(fixture.Heap)[image.Root.Digest])
	both := fixture.Heap{}
	for d, b := range image.From.(fixture.Heap) {
		both[d] = b
	}
	ambiguous := ocm.Content{From: both, Root: both.Put(ociv1.MediaTypeImageManifest, []byte(strings.TrimSuffix(raw, "}")+`,"manifests":[]}`))}
	far := digest.FromString("nowhere")
	for name, c := range map[string]struct {
		content ocm.Content
		want    []error
	}{
		"manifest and index in one": {ambiguous, []error{ocm.ErrInvalid}},
		"absent child":              {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":10}`, ociv1.MediaTypeImageManifest, far)), []error{ocm.ErrNotFound}},
		"digest that is none":       {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":"../../etc/passwd","size":10}`, ociv1.MediaTypeImageManifest)), []error{ocm.ErrInvalid}},
		"short digest":              {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:00","size":10}`, ociv1.MediaTypeImageManifest)), []error{ocm.ErrInvalid}},
		"unknown algorithm":         {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":"md5:00","size":10}`, ociv1.MediaTypeImageManifest)), []error{ocm.ErrInvalid}},
		"negative size":             {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":-5}`, ociv1.MediaTypeImageManifest, far)), []error{ocm.ErrInvalid, ocm.ErrNotFound}},
		"enormous child":            {hostileImage(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":9223372036854775807}`, ociv1.MediaTypeImageManifest, far)), []error{ocm.ErrLimit, ocm.ErrInvalid}},
		"no document":               {hostileImage(`]`), []error{ocm.ErrInvalid}},
	} {
		for to, open := range fixture.Places() {
			t.Run(name+" to "+to, func(t *testing.T) {
				t.Parallel()
				src, dst, kit, env := repository(memory.New()), repository(open(t)), builtin.Kit(), newEnv()
				a := write(t, src, "acme.org/app", "1.0.0", nil)
				a.access("image", spec(t, `{"type":"hostile/v1"}`)).Digest = &ocm.Digest{
					HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: c.content.Root.Digest.Encoded()}
				v := a.commit()
				kit.Access.Add(ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) { return c.content, nil }), "hostile/v1")
				g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{}))
				p, err := transfer.NewPlan(t.Context(), kit, env, g, dst, transfer.Options{CopyResources: true})
				if err == nil {
					_, err = p.Run(t.Context())
				}
				if err == nil || !isOne(err, c.want) {
					t.Errorf("expected one of %v, found %v", c.want, err)
				}
				if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("the version is visible: %v", err)
				}
			})
		}
	}
}

func isOne(err error, of []error) bool {
	for _, want := range of {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}
