// SPDX-License-Identifier: Apache-2.0

package git

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// Tree is the content of a commit as a tar archive: entries in lexical order per folder, the root first as
// "./", names of folders with a slash behind, files with the mode 0644 or 0755, no times and no owners. It
// is what the input "dir" makes of a fresh checkout, and symbolic links besides. A submodule is an empty
// folder. Nothing is asked for before it is read.
//
// A reader that was opened keeps all files in a temporary file until it is closed.
func (r *Remote) Tree(commit string) ocm.Content { return treeOf(r.env, r.at.String(), commit, r.load) }

// load gets the objects of a commit.
func (r *Remote) load(ctx context.Context, s *store, commit string) error {
	session, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	pack, err := session.pack(ctx, commit)
	if err != nil {
		return err
	}
	return s.read(ctx, pack)
}

func treeOf(env *ocm.Env, where, commit string, load func(context.Context, *store, string) error) ocm.Content {
	return ocm.Content{
		Root: ociv1.Descriptor{MediaType: "application/x-tar", Size: -1},
		From: &tree{env, where, commit, load},
		Name: where + "@" + commit,
	}
}

type tree struct {
	env           *ocm.Env
	where, commit string
	load          func(ctx context.Context, s *store, commit string) error
}

// Fetch implements [ocm.Fetcher].
func (t *tree) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	if err := CheckCommit(t.commit); err != nil {
		return nil, err
	}
	s, err := newStore(t.env, len(t.commit) == 64)
	if err != nil {
		return nil, err
	}
	root := id{}
	if err = t.load(ctx, s, t.commit); err == nil {
		root, err = s.rootTree(t.commit)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(t.failed(err), s.Close())
	}
	return t.archive(ctx, s, root), nil
}

func (t *tree) failed(err error) error {
	return fmt.Errorf("git repository %s: commit %s: %w", t.where, t.commit, err)
}

// archive writes while it is read, and closes the store in the end.
func (t *tree) archive(ctx context.Context, s *store, root id) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	p := &pipe{PipeReader: pr, cancel: cancel, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(p.done)
		defer stop()
		w := bufio.NewWriterSize(pw, buffer)
		a := &archive{store: s, ctx: ctx, tw: tar.NewWriter(w), maxEntries: blob.MaxDirEntries, maxBytes: MaxBytes}
		err := a.dir(".", root, 0)
		if err == nil {
			err = errors.Join(a.tw.Close(), w.Flush())
		}
		if err != nil {
			err = t.failed(err)
		} else if len(a.submodules) > 0 {
			t.env.Logger().Warn("submodules are left out", "repository", t.where, "folders", strings.Join(a.submodules[:min(10, len(a.submodules))], ", "))
		}
		err = errors.Join(err, s.Close())
		pw.CloseWithError(err) // nil is io.EOF
	}()
	return p
}

type pipe struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close stops what writes, and waits for it.
func (p *pipe) Close() error {
	p.cancel()
	err := p.PipeReader.Close()
	<-p.done
	return err
}
