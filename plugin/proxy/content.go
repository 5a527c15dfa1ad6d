// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/plugin/wire"
)

// Uploader is an uploader of a plugin. What the plugin reads is hashed on the way; [ocm.ErrDigest] if it says that it has stored something
// else, or something that nobody knew and that it has not read. Whether its access leads to that is for the caller to find out.
func Uploader(p Plugin) ocm.Uploader { return uploader{p} }

type uploader struct{ plugin Plugin }

func (u uploader) Upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (stored ocm.Stored, err error) {
	var job *ocm.Job
	if env != nil {
		job = env.Job
	}
	err = job.Do(ctx, func() error {
		stored, err = u.upload(ctx, env, c, s, hint)
		return err
	})
	return stored, err
}

// upload is not tried again if the plugin dies: nobody knows what it has done by then.
func (u uploader) upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (ocm.Stored, error) {
	call, err := u.plugin.Call(ctx, env)
	if err != nil {
		return ocm.Stored{}, err
	}
	defer call.End()
	w := &witness{from: c.From}
	offered := c
	offered.From = w
	var answer wire.Uploaded
	question := wire.Upload{Content: call.Offer(offered, ""), Spec: s, Hint: hint, Env: envOf(env)}
	if err := call.Ask(wire.UploadPath, question, &answer, false); err != nil {
		if failed := w.failure(); failed != nil { // the plugin knows only that a stream has broken off
			err = fmt.Errorf("%w: %w", failed, err)
		}
		return ocm.Stored{}, err
	}
	root, err := w.confirm(c.Root, answer.Root)
	if err == nil && answer.Access.Type == "" {
		err = fmt.Errorf("its answer has no access: %w", ocm.ErrInvalid)
	}
	if err != nil {
		return ocm.Stored{}, named(u.plugin, err)
	}
	return ocm.Stored{Root: root, Access: answer.Access}, nil
}

// maxReadings is how many complete readings of one content are remembered.
const maxReadings = 16

// witness delivers content to a plugin, and knows what it has delivered.
type witness struct {
	from ocm.Fetcher

	mu     sync.Mutex
	read   []ociv1.Descriptor // digest and size of each reading, to the end, of a root without digest
	failed error              // of the first reading that failed
}

// Fetch lets nothing through that has not the digest that it is asked for by.
func (w *witness) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := w.from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	if d.Digest == "" {
		return &reading{ReadCloser: rc, ctx: ctx, w: w, hash: digest.SHA256.Hash()}, nil
	}
	checked, err := blob.NewReader(rc, d)
	if err != nil {
		rc.Close()
		return nil, err
	}
	return &reading{ReadCloser: checked, ctx: ctx, w: w}, nil
}

// reading tells the witness how it ends.
type reading struct {
	io.ReadCloser
	ctx  context.Context // of the plugin's question
	w    *witness
	hash hash.Hash // of what has no digest yet
	n    int64
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n += int64(n)
	if r.hash != nil {
		r.hash.Write(p[:n])
	}
	switch {
	case err == io.EOF && r.hash != nil:
		r.w.note(ociv1.Descriptor{Digest: digest.NewDigest(digest.SHA256, r.hash), Size: r.n})
	case err != nil && err != io.EOF && r.ctx.Err() == nil: // else the plugin wants no more
		r.w.fail(err)
	}
	return n, err
}

func (w *witness) note(d ociv1.Descriptor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.read) < maxReadings {
		w.read = append(w.read, d)
	}
}

func (w *witness) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

func (w *witness) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// confirm compares what the plugin says that it has stored with what it was given, and returns that.
func (w *witness) confirm(given, said ociv1.Descriptor) (ociv1.Descriptor, error) {
	if err := blob.CheckDigest(said.Digest); err != nil {
		return given, fmt.Errorf("its answer: root: %w", err)
	}
	if said.Size < 0 {
		return given, fmt.Errorf("its answer: root has %d bytes: %w", said.Size, ocm.ErrInvalid)
	}
	if given.Digest != "" {
		if given.Digest != said.Digest || given.Size >= 0 && given.Size != said.Size {
			return given, fmt.Errorf("it was given %s of %d bytes, and says that it has stored %s of %d: %w", given.Digest, given.Size, said.Digest, said.Size, ocm.ErrDigest)
		}
		given.Size = said.Size
		return given, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.read, func(d ociv1.Descriptor) bool { return d.Digest == said.Digest && d.Size == said.Size })
	switch {
	case len(w.read) == 0:
		return given, fmt.Errorf("it says that it has stored %s, and has not read the content to its end: %w", said.Digest, ocm.ErrDigest)
	case i < 0:
		return given, fmt.Errorf("it has read %s of %d bytes, and says that it has stored %s of %d: %w", w.read[0].Digest, w.read[0].Size, said.Digest, said.Size, ocm.ErrDigest)
	}
	given.Digest, given.Size = said.Digest, said.Size
	return given, nil
}

// Transformer is a transformer of a plugin.
func Transformer(p Plugin) ocm.Transformer { return transformer{p} }

type transformer struct{ plugin Plugin }

func (t transformer) Transform(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	handle := "" // of the source: the same one whenever it is offered
	open := func(ctx context.Context) (made wire.Content, err error) {
		call, err := t.plugin.Call(ctx, env)
		if err != nil {
			return made, err
		}
		defer call.End()
		source := call.Offer(c, handle)
		handle = source.Handle
		err = call.Ask(wire.TransformPath, wire.Transform{Content: source, Spec: s, Env: envOf(env)}, &made, true)
		return made, err
	}
	described, err := open(ctx)
	if err != nil {
		return ocm.Content{}, err
	}
	made, err := described.Content(&remote{plugin: t.plugin, env: env, open: open, sources: map[string]ocm.Content{handle: c}, handle: described.Handle})
	return made, named(t.plugin, err)
}

// named says which plugin it is that has answered something wrong.
func named(p Plugin, err error) error {
	if who, ok := p.(fmt.Stringer); ok && err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	return err
}
