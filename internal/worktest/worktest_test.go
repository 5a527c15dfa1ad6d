// SPDX-License-Identifier: Apache-2.0

package worktest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/worktest"
	"ocm/plugin/wire"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"work": worktest.Kit, "liars": worktest.Liars, "helm": helmKit})
}

// helmKit has the transformer of charts in a plugin.
func helmKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Transformers.Register(chart.Extract{}, ocm.Type{Names: []string{"helm"}, About: "A chart."})
	return kit
}

// kits are the same implementations in the process and in a plugin.
func kits(t *testing.T) map[string]*ocm.Kit {
	t.Helper()
	return map[string]*ocm.Kit{"in the process": worktest.Kit(), "in a plugin": plugintest.Kit(t, "work")}
}

func spec(t testing.TB, members map[string]string) ocm.Spec {
	t.Helper()
	return fixture.Must[ocm.Spec](t)(ocm.NewSpec(members))
}

func TestUploader(t *testing.T) {
	t.Parallel()
	for where, kit := range kits(t) {
		t.Run(where, func(t *testing.T) {
			uploader := fixture.Must[ocm.Uploader](t)(kit.Uploaders.For("folder"))
			access := fixture.Must[ocm.Opener](t)(kit.Access.For("folder/v1"))
			worktest.RunUploader(t, worktest.UploaderCase{
				Uploader: uploader, Env: &ocm.Env{Job: ocm.NewJob(4)}, Graphs: true,
				Access: func(s ocm.Spec) (ocm.Content, error) { return access.Open(t.Context(), &ocm.Env{}, s) },
				Spec:   spec(t, map[string]string{"type": "folder", "path": t.TempDir()}),
				Wrong:  spec(t, map[string]string{"type": "folder"}), Names: "path",
			})
		})
	}
}

func TestTransformer(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("some text "), 1<<17)
	zipped := fixture.Must[[]byte](t)(worktest.All(t.Context(), blob.Gzip(blob.Bytes("text/plain", text), "application/gzip")))
	for where, kit := range kits(t) {
		t.Run(where, func(t *testing.T) {
			worktest.RunTransformer(t, worktest.TransformerCase{
				Transformer: fixture.Must[ocm.Transformer](t)(kit.Transformers.For("gunzip")),
				Spec:        spec(t, map[string]string{"type": "gunzip", "mediaType": "text/plain"}),
				Wrong:       spec(t, map[string]string{"type": "gunzip"}), Names: "mediaType",
				In: blob.Bytes("application/gzip", zipped), Want: text, WantType: "text/plain", Whole: true,
				NotThis: blob.Bytes("application/gzip", text),
			})
		})
	}
}

// The transformer that is built in, there and in a plugin.
func TestChart(t *testing.T) {
	t.Parallel()
	archive := fixture.Tgz(map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"})
	artifact, _, err := chart.Artifact(t.Context(), blob.Bytes(chart.MediaTypeContent, archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	plugged := fixture.Must[ocm.Transformer](t)(plugintest.Kit(t, "helm").Transformers.For("helm"))
	for where, transformer := range map[string]ocm.Transformer{"in the process": chart.Extract{}, "in a plugin": plugged} {
		t.Run(where, func(t *testing.T) {
			worktest.RunTransformer(t, worktest.TransformerCase{
				Transformer: transformer, Spec: ocm.Spec{Type: "helm"}, Wrong: spec(t, map[string]string{"type": "helm", "layer": "2"}), Names: "layer",
				In: artifact, Want: archive, WantType: chart.MediaTypeContent, NotThis: fixture.Image("no chart"),
			})
		})
	}
}

// A plugin that says of an upload what is not so is caught by what it has read.
func TestUploadLies(t *testing.T) {
	t.Parallel()
	uploader := fixture.Must[ocm.Uploader](t)(plugintest.Kit(t, "liars").Uploaders.For("liar"))
	known := blob.Bytes("text/plain", bytes.Repeat([]byte("known "), 1<<16))
	unknown := known
	unknown.Root.Digest, unknown.Root.Size = "", -1
	for _, c := range []struct {
		how           string
		known, hidden error
	}{
		{"says another digest", ocm.ErrDigest, ocm.ErrDigest},
		{"reads half", ocm.ErrDigest, ocm.ErrDigest},
		{"has no digest", ocm.ErrInvalid, ocm.ErrInvalid},
		{"has no access", ocm.ErrInvalid, ocm.ErrInvalid},
		{"reads nothing", nil, ocm.ErrInvalid}, // it may have it: the caller looks
	} {
		s := spec(t, map[string]string{"type": "liar", "how": c.how, "path": t.TempDir()})
		for content, want := range map[*ocm.Content]error{&known: c.known, &unknown: c.hidden} {
			_, err := uploader.Upload(t.Context(), &ocm.Env{}, *content, s, "")
			if !errors.Is(err, want) {
				t.Errorf("%s, digest %q: expected %v, found %v", c.how, content.Root.Digest, want, err)
			}
		}
	}
}

// A plugin that dies while it uploads is an error, and works again when it is asked the next time.
func TestUploadDies(t *testing.T) {
	t.Parallel()
	uploader := fixture.Must[ocm.Uploader](t)(plugintest.Kit(t, "liars").Uploaders.For("liar"))
	content := blob.Bytes("text/plain", bytes.Repeat([]byte("known "), 1<<16))
	if _, err := uploader.Upload(t.Context(), &ocm.Env{}, content, spec(t, map[string]string{"type": "liar", "how": "dies"}), ""); err == nil {
		t.Error("it has died")
	}
	err := unbroken(func() error {
		_, err := uploader.Upload(t.Context(), &ocm.Env{}, content, spec(t, map[string]string{"type": "liar", "how": "has no digest"}), "")
		return err
	})
	if !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("afterwards: %v", err)
	}
}

// unbroken asks until the host has noticed that a plugin has died.
func unbroken(ask func() error) (err error) {
	for range 1000 {
		if err = ask(); !errors.Is(err, wire.ErrBroken) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// What was made is made again when the plugin has died since.
func TestTransformedAgain(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "liars")
	gunzip := fixture.Must[ocm.Transformer](t)(kit.Transformers.For("gunzip"))
	liar := fixture.Must[ocm.Transformer](t)(kit.Transformers.For("liar"))
	zipped := fixture.Must[[]byte](t)(worktest.All(t.Context(), blob.Gzip(blob.Bytes("text/plain", []byte("text")), "application/gzip")))
	made, err := gunzip.Transform(t.Context(), &ocm.Env{}, blob.Bytes("application/gzip", zipped), spec(t, map[string]string{"type": "gunzip", "mediaType": "text/plain"}))
	if err != nil {
		t.Fatal(err)
	}
	dying, err := liar.Transform(t.Context(), &ocm.Env{}, blob.Bytes("text/plain", nil), spec(t, map[string]string{"type": "liar", "how": "dies"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worktest.All(t.Context(), dying); err == nil {
		t.Error("it was cut off, and nobody has noticed")
	}
	var got []byte
	err = unbroken(func() (err error) {
		got, err = worktest.All(t.Context(), made)
		return err
	})
	if err != nil || string(got) != "text" {
		t.Errorf("%q %v", got, err)
	}
}

// Content without an end stops when nobody reads on, and the plugin goes on working.
func TestTransformEndless(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "liars")
	liar := fixture.Must[ocm.Transformer](t)(kit.Transformers.For("liar"))
	for range 3 {
		made, err := liar.Transform(t.Context(), &ocm.Env{}, blob.Bytes("text/plain", nil), spec(t, map[string]string{"type": "liar", "how": "has no end"}))
		if err != nil {
			t.Fatal(err)
		}
		rc := fixture.Must[io.ReadCloser](t)(blob.OpenContent(t.Context(), made))
		if _, err := io.CopyN(io.Discard, rc, 4<<20); err != nil {
			t.Error(err)
		}
		rc.Close()
		ctx, cancel := context.WithCancel(t.Context())
		rc = fixture.Must[io.ReadCloser](t)(blob.OpenContent(ctx, made))
		cancel()
		if _, err := io.Copy(io.Discard, rc); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		rc.Close()
	}
}

// A plugin cannot ask which part of an image it is when it is read later, so that it does not begin.
func TestTransformPart(t *testing.T) {
	t.Parallel()
	gunzip := fixture.Must[ocm.Transformer](t)(plugintest.Kit(t, "work").Transformers.For("gunzip"))
	part := fixture.Index("layer")
	part.Skip = func(ociv1.Descriptor) bool { return true }
	_, err := gunzip.Transform(t.Context(), &ocm.Env{}, part, spec(t, map[string]string{"type": "gunzip", "mediaType": "text/plain"}))
	fixture.WantErr(t, err, errors.ErrUnsupported, "a part of an image")
}
