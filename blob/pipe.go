// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"bufio"
	"context"
	"io"
)

// pipe returns a reader of what write writes. The reader's Close stops write and waits for it,
// so that nothing of it is left behind; the end of ctx stops it too.
func pipe(ctx context.Context, write func(ctx context.Context, w io.Writer) error) io.ReadCloser {
	ctx, cancel := context.WithCancelCause(ctx)
	pr, pw := io.Pipe()
	p := &pipeReader{PipeReader: pr, cancel: cancel, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(p.done)
		bw := bufio.NewWriterSize(pw, 64<<10)
		err := write(ctx, bw)
		if err == nil {
			err = bw.Flush()
		}
		stop()
		pw.CloseWithError(err) // nil is io.EOF
	}()
	return p
}

type pipeReader struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func (p *pipeReader) Close() error {
	p.cancel(io.ErrClosedPipe)
	err := p.PipeReader.Close()
	<-p.done
	return err
}

// ctxReader ends with the context's error when the context ends. Streams over files do not look at
// it by themselves, and a large one would be read to its end after the user said stop.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
