// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// answers is a plugin that reads what it is offered, and then says always the same.
type answers struct {
	text    string
	offered *ocm.Content
}

func (a *answers) Call(context.Context, *ocm.Env) (proxy.Call, error) { return a, nil }

func (a *answers) Offer(c ocm.Content, handle string) wire.Content {
	a.offered = &c
	return wire.Describe(c, "h1"+handle)
}

func (a *answers) Ask(_ string, _, answer any, _ bool) error {
	rc, err := a.offered.Open(context.Background())
	if err != nil {
		return err
	}
	defer rc.Close()
	if _, err := io.Copy(io.Discard, rc); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(a.text), answer); err != nil {
		return errors.Join(err, ocm.ErrInvalid)
	}
	return nil
}

func (a *answers) Stream(string, any) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader(a.text)), -1, nil
}

func (a *answers) End() {}

func source(known bool) ocm.Content {
	c := blob.Bytes("text/plain", []byte("content"))
	if !known {
		c.Root.Digest, c.Root.Size = "", -1
	}
	return c
}

func upload(text string, known bool) (ocm.Stored, error) {
	return proxy.Uploader(&answers{text: text}).Upload(context.Background(), nil, source(known), ocm.Spec{Type: "x"}, "")
}

const (
	right  = `{"root":{"mediaType":"text/plain","digest":"sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73","size":7},"access":{"type":"there"}}`
	bigger = `{"root":{"mediaType":"text/plain","digest":"sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73","size":8},"access":{"type":"there"}}`
)

func TestUploaded(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		s, err := upload(right, known)
		if want := source(true).Root; err != nil || s.Root.Digest != want.Digest || s.Root.Size != want.Size || s.Root.MediaType != "text/plain" || s.Access.Type != "there" {
			t.Errorf("%+v %v", s, err)
		}
		for text, want := range map[string]error{
			bigger: ocm.ErrDigest,
			strings.Replace(right, "ed7002b439", "0000000000", 1): ocm.ErrDigest,
			strings.Replace(right, `"size":7`, `"size":-1`, 1):    ocm.ErrInvalid,
			strings.Replace(right, `"there"`, `""`, 1):            ocm.ErrInvalid,
			`{}`: ocm.ErrInvalid, `{"root":{}}`: ocm.ErrInvalid, `[]`: ocm.ErrInvalid,
		} {
			_, err := upload(text, known)
			fixture.WantErr(t, err, want)
		}
	}
}

// A digest that is none never becomes part of a path or an address.
func TestCVE_2024_3727_DigestOfWhatWasUploaded(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"../../etc/passwd", "sha256:../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:ED7002B439E9AC845F22357D822BAC1444730FBDB6016D3EC9432297B9EC9F73"} {
		for _, known := range []bool{true, false} {
			_, err := upload(`{"root":{"mediaType":"text/plain","digest":"`+d+`","size":7},"access":{"type":"there"}}`, known)
			fixture.WantErr(t, err, ocm.ErrInvalid, "root: digest")
		}
	}
}

// What the source has not does not get to the plugin as if it had.
func TestUploadOfDamagedContent(t *testing.T) {
	t.Parallel()
	c := source(true)
	c.From = blob.Bytes("text/plain", []byte("c0ntent")).From
	_, err := proxy.Uploader(&answers{text: right}).Upload(t.Context(), nil, c, ocm.Spec{Type: "x"}, "")
	fixture.WantErr(t, err, ocm.ErrDigest)
}

// The job's slots are for uploads, too.
func TestUploadTakesASlot(t *testing.T) {
	t.Parallel()
	env := &ocm.Env{Job: ocm.NewJob(1)}
	ctx, cancel := context.WithCancel(t.Context())
	err := env.Job.Do(ctx, func() error {
		cancel() // nobody waits for what is held here
		_, err := proxy.Uploader(&answers{text: right}).Upload(ctx, env, source(true), ocm.Spec{Type: "x"}, "")
		return err
	})
	fixture.WantErr(t, err, context.Canceled)
}

// Whatever a plugin answers to an upload: what comes of it is what was given, or an error.
func FuzzUploaded(f *testing.F) {
	for _, text := range []string{right, bigger, `{}`, `{"root":null,"access":null}`, `{"root":{"digest":"sha256:"},"access":{"type":"x"}}`, `{"access":"x"}`, `[`} {
		f.Add(text)
	}
	want := source(true).Root
	f.Fuzz(func(t *testing.T, text string) {
		for _, known := range []bool{true, false} {
			s, err := upload(text, known)
			if err == nil && (s.Root.Digest != want.Digest || s.Root.Size != want.Size || s.Root.MediaType != want.MediaType || s.Access.Type == "") {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}

// Whatever a plugin answers to a transformation: it is a description that keeps the rules, or an error.
func FuzzTransformed(f *testing.F) {
	for _, text := range []string{
		`{"handle":"1","root":{"mediaType":"text/plain","digest":"","size":-1}}`, `{"handle":"","root":{"mediaType":"text/plain","digest":"sha256:x","size":0}}`,
		`{"root":{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":-2}}`, `{"root":{"mediaType":""}}`, `null`, `{`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := proxy.Transformer(&answers{text: text}).Transform(context.Background(), nil, source(true), ocm.Spec{Type: "x"})
		if err != nil {
			return
		}
		if c.Root.MediaType == "" || c.Root.Size < -1 || c.Root.Digest != "" && c.Root.Digest.Validate() != nil {
			t.Errorf("%q: %+v", text, c.Root)
		}
		rc, err := c.From.Fetch(context.Background(), ociv1.Descriptor{})
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
	})
}
