// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/plugin/wire"
)

const octetStream = "application/octet-stream"

// delivered is what a plugin answers with where content is expected.
type delivered struct {
	Location *location     `json:"location"`
	Resource *ocm.Resource `json:"resource"` // of an input: what leads to the content, in place of it
}

// asks asks a plugin for content. The second result is how its file may be opened.
type asks func(ctx context.Context) (delivered, taking, error)

// content is a file that a plugin has written. It is open for a while; whoever needs it after that makes the plugin write it again.
type content struct {
	plugin *Plugin
	ask    asks
	size   int64

	mu   sync.Mutex
	file *file // nil: not open
}

// contentOf is the content that a plugin answers with. mediaType is what it has if the answer says nothing, promised its digest if
// that is known. An OCI image layout becomes the artifact in it.
func (p *Plugin) contentOf(ctx context.Context, ask asks, mediaType string, promised digest.Digest) (ocm.Content, error) {
	d, from, err := ask(ctx)
	if err != nil {
		return ocm.Content{}, err
	}
	return p.opened(ctx, d, from, ask, mediaType, promised)
}

func (p *Plugin) opened(ctx context.Context, d delivered, from taking, ask asks, mediaType string, promised digest.Digest) (ocm.Content, error) {
	defer from.close()
	l := d.Location
	if l == nil {
		return ocm.Content{}, p.named(errNoLocation)
	}
	if l.MediaType != "" {
		mediaType = l.MediaType
	}
	if mediaType == "" {
		mediaType = octetStream
	}
	switch {
	case len(mediaType) > maxTypeName || mediaType != wire.Text(mediaType, maxTypeName):
		return ocm.Content{}, p.named(fmt.Errorf("media type %q: %w", shown(mediaType), ocm.ErrInvalid))
	case blob.IsManifest(mediaType):
		return ocm.Content{}, p.named(fmt.Errorf("it delivers the manifest of an artifact (%s) alone; expected an archive of media type %s: %w", mediaType, blob.MediaTypeLayout, ocm.ErrInvalid))
	}
	f, err := from.take(*l)
	if err != nil {
		return ocm.Content{}, p.named(err)
	}
	c := &content{plugin: p, ask: ask, size: f.size, file: f}
	p.keep(c)
	if blob.IsLayout(mediaType) {
		out, err := blob.Layout(ctx, ocm.Content{Root: ociv1.Descriptor{MediaType: mediaType, Size: f.size}, From: c})
		return out, p.named(err)
	}
	return ocm.Content{Root: ociv1.Descriptor{MediaType: mediaType, Digest: promised, Size: f.size}, From: c}, nil
}

// Fetch implements [ocm.Fetcher].
func (c *content) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := c.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &reader{SectionReader: io.NewSectionReader(f, 0, f.size), file: f}, nil
}

// acquire returns the file, which the caller releases.
func (c *content) acquire(ctx context.Context) (*file, error) {
	c.mu.Lock()
	f := c.file
	if f != nil {
		f.users.Add(1)
	}
	c.mu.Unlock()
	if f == nil {
		var err error
		if f, err = c.again(ctx); err != nil {
			return nil, err
		}
		c.mu.Lock()
		if c.file == nil {
			f.users.Add(1)
			c.file = f
		}
		c.mu.Unlock()
	}
	c.plugin.keep(c)
	return f, nil
}

// again makes the plugin write the file once more.
func (c *content) again(ctx context.Context) (*file, error) {
	d, from, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer from.close()
	if d.Location == nil {
		return nil, c.plugin.named(errNoLocation)
	}
	f, err := from.take(*d.Location)
	if err == nil && f.size != c.size {
		f.release()
		err = fmt.Errorf("asked again, it delivers %d bytes in place of %d: %w", f.size, c.size, ocm.ErrConflict)
	}
	if err != nil {
		return nil, c.plugin.named(err)
	}
	return f, nil
}

// drop forgets the file; who reads it goes on.
func (c *content) drop() {
	c.mu.Lock()
	f := c.file
	c.file = nil
	c.mu.Unlock()
	if f != nil {
		f.release()
	}
}

// keep notes that the file of a content was used, and drops the one that was used the longest ago.
func (p *Plugin) keep(c *content) {
	p.mu.Lock()
	p.files = append(slices.DeleteFunc(p.files, func(have *content) bool { return have == c }), c)
	var dropped []*content
	if keep := MaxFiles; p.closed || len(p.files) > keep {
		if p.closed {
			keep = 0
		}
		n := len(p.files) - keep
		dropped = slices.Clone(p.files[:n])
		p.files = slices.Delete(p.files, 0, n)
	}
	p.mu.Unlock()
	for _, old := range dropped {
		old.drop()
	}
}

// reader is one reading of a file.
type reader struct {
	*io.SectionReader
	file *file
	once sync.Once
}

// Close ends the reading.
func (r *reader) Close() error {
	r.once.Do(r.file.release)
	return nil
}

// asking makes a function that asks for content by a question that may be asked again. The credentials are found anew each time, because
// they may have changed by then.
func (i *instance) asking(q question, also string, authorize func(context.Context) (authorization, error)) asks {
	q.again, q.slow = true, true
	return func(ctx context.Context) (d delivered, t taking, err error) {
		q := q
		if q.auth, err = authorize(ctx); err != nil {
			return d, t, err
		}
		t = taking{began: time.Now().Add(-clockGrain), also: also, shared: sharedFolders()}
		t.process, err = i.exchange(ctx, q, &d)
		return d, t, err
	}
}

// errNoLocation is an answer that lacks what was asked for.
var errNoLocation = fmt.Errorf("its answer has no location: %w", ocm.ErrInvalid)

// clockGrain is how much older than the clock the time of a new file may be.
const clockGrain = 20 * time.Millisecond
