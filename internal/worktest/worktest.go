// SPDX-License-Identifier: Apache-2.0

// Package worktest is the contract of uploaders and of transformers, as tests that run in the process and through the wire of
// plugins; and it has a small implementation of each, and some that lie.
package worktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

// UploaderCase is an uploader with a place that it stores in.
type UploaderCase struct {
	Uploader ocm.Uploader
	Access   func(access ocm.Spec) (ocm.Content, error) // reads what was stored
	Env      *ocm.Env
	Spec     ocm.Spec
	Wrong    ocm.Spec // one that is refused: [ocm.ErrInvalid]
	Names    string   // the member of Wrong that is named
	Graphs   bool     // it stores images, too
}

// RunUploader runs the contract.
func RunUploader(t *testing.T, c UploaderCase) {
	t.Helper()
	t.Run("content", c.content)
	t.Run("unknown digest", c.unknown)
	t.Run("image", c.image)
	t.Run("there already", c.thereAlready)
	t.Run("not what was promised", c.damaged)
	t.Run("source fails", c.failing)
	t.Run("wrong specification", func(t *testing.T) {
		_, err := c.Uploader.Upload(t.Context(), c.Env, blob.Bytes("text/plain", []byte("wrong")), c.Wrong, "")
		fixture.WantErr(t, err, ocm.ErrInvalid, c.Names)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Uploader.Upload(ctx, c.Env, blob.Bytes("text/plain", []byte("cancelled")), c.Spec, "")
		fixture.WantErr(t, err, context.Canceled)
	})
	t.Run("at once", c.concurrent)
}

// stored uploads content and fails unless that is what the access leads to.
func (c UploaderCase) stored(t *testing.T, content ocm.Content, want ociv1.Descriptor) ocm.Stored {
	t.Helper()
	s, err := c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, "team/app:1.0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Root.MediaType != want.MediaType || s.Root.Digest != want.Digest || s.Root.Size != want.Size {
		t.Errorf("expected the root %+v, found %+v", want, s.Root)
	}
	got, err := c.Access(s.Access)
	if err != nil {
		t.Fatal(err)
	}
	got.Root = want
	if err := blob.Check(t.Context(), got); err != nil {
		t.Errorf("%s: %v", s.Access.Raw, err)
	}
	return s
}

func (c UploaderCase) content(t *testing.T) {
	for _, text := range []string{"content", "", strings.Repeat("large ", 1<<20)} {
		content := blob.Bytes("text/plain", []byte(text))
		c.stored(t, content, content.Root)
	}
}

func (c UploaderCase) unknown(t *testing.T) {
	for _, text := range []string{"nobody knows", strings.Repeat("nobody knows this either ", 1<<16)} {
		content := blob.Bytes("text/plain", []byte(text))
		want := content.Root
		content.Root.Digest, content.Root.Size = "", -1
		c.stored(t, content, want)
	}
}

func (c UploaderCase) image(t *testing.T) {
	if !c.Graphs {
		t.Skip("it stores single blobs")
	}
	for _, image := range []ocm.Content{fixture.Image("layer"), fixture.Index("another layer")} {
		c.stored(t, image, image.Root)
	}
}

// thereAlready: what is there is not read, and the same access leads to it.
func (c UploaderCase) thereAlready(t *testing.T) {
	content := blob.Bytes("text/plain", []byte("there already"))
	first := c.stored(t, content, content.Root)
	content.From = Failing(errors.New("it was read again"))
	again, err := c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Access.Raw, first.Access.Raw) || again.Root.Digest != first.Root.Digest {
		t.Errorf("expected %s, found %s", first.Access.Raw, again.Access.Raw)
	}
}

func (c UploaderCase) damaged(t *testing.T) {
	content := blob.Bytes("text/plain", []byte("expected bytes"))
	content.From = blob.Bytes("text/plain", []byte("other bytes, 1")).From
	for range 2 { // what came of the first must not be taken for the content
		_, err := c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, "")
		fixture.WantErr(t, err, ocm.ErrDigest)
	}
}

func (c UploaderCase) failing(t *testing.T) {
	content := blob.Bytes("text/plain", bytes.Repeat([]byte("fails "), 1<<16))
	content.From = Cut(content, 100_000, ocm.ErrDenied)
	_, err := c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, "")
	if err == nil {
		t.Error("half of it was taken for the whole")
	}
	content.Root.Digest, content.Root.Size = "", -1
	if _, err = c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, ""); !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("of unknown size: %v", err)
	}
}

func (c UploaderCase) concurrent(t *testing.T) {
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			content := blob.Bytes("text/plain", bytes.Repeat([]byte{'a' + byte(i/2)}, 100_000)) // two of each
			if s, err := c.Uploader.Upload(t.Context(), c.Env, content, c.Spec, ""); err != nil || s.Root.Digest != content.Root.Digest {
				t.Errorf("%d: %v %v", i, s.Root, err)
			}
		})
	}
	all.Wait()
}

// TransformerCase is a transformer with content for it.
type TransformerCase struct {
	Transformer ocm.Transformer
	Env         *ocm.Env
	Spec        ocm.Spec
	Wrong       ocm.Spec // one that is refused: [ocm.ErrInvalid]
	Names       string   // the member of Wrong that is named
	In          ocm.Content
	Want        []byte
	WantType    string
	NotThis     ocm.Content // content of which it can make nothing: [ocm.ErrInvalid]
	Whole       bool        // it reads its source to the end
}

// RunTransformer runs the contract.
func RunTransformer(t *testing.T, c TransformerCase) {
	t.Helper()
	t.Run("content", c.content)
	t.Run("not what was promised", func(t *testing.T) {
		if !c.Whole {
			t.Skip("it reads only a part")
		}
		in := c.In
		in.Root.Digest = digest.FromString("something else")
		err := c.read(t.Context(), in, c.Spec)
		fixture.WantErr(t, err, ocm.ErrDigest)
	})
	t.Run("source fails", func(t *testing.T) {
		in := c.In
		in.From = Failing(ocm.ErrDenied)
		err := c.read(t.Context(), in, c.Spec)
		fixture.WantErr(t, err, ocm.ErrDenied)
	})
	t.Run("wrong specification", func(t *testing.T) {
		_, err := c.Transformer.Transform(t.Context(), c.Env, c.In, c.Wrong)
		fixture.WantErr(t, err, ocm.ErrInvalid, c.Names)
	})
	t.Run("wrong content", func(t *testing.T) {
		err := c.read(t.Context(), c.NotThis, c.Spec)
		fixture.WantErr(t, err, ocm.ErrInvalid)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := c.read(ctx, c.In, c.Spec)
		fixture.WantErr(t, err, context.Canceled)
	})
}

func (c TransformerCase) read(ctx context.Context, in ocm.Content, s ocm.Spec) error {
	made, err := c.Transformer.Transform(ctx, c.Env, in, s)
	if err == nil {
		_, err = All(ctx, made)
	}
	return err
}

// content: it is right, as often as it is read, also at once.
func (c TransformerCase) content(t *testing.T) {
	made, err := c.Transformer.Transform(t.Context(), c.Env, c.In, c.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if made.Root.MediaType != c.WantType {
		t.Errorf("expected media type %s, found %s", c.WantType, made.Root.MediaType)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := All(t.Context(), made); err != nil || !bytes.Equal(got, c.Want) {
				t.Errorf("expected %.60q, found %.60q, %v", c.Want, got, err)
			}
		})
	}
	all.Wait()
}

// All reads the bytes of content.
func All(ctx context.Context, c ocm.Content) ([]byte, error) {
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// Failing cannot be read.
func Failing(err error) ocm.Fetcher { return failing{err} }

type failing struct{ err error }

func (f failing) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) { return nil, f.err }

// Cut can be read up to a place.
func Cut(c ocm.Content, at int64, err error) ocm.Fetcher { return cut{c, at, err} }

type cut struct {
	c   ocm.Content
	at  int64
	err error
}

func (c cut) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := c.c.From.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(rc, c.at), broken{c.err}), rc}, nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
