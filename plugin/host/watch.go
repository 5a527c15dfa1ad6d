// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// watch ends a call that makes no progress. The time counts only while the plugin is waited for.
type watch struct {
	timeout time.Duration
	stop    context.CancelCauseFunc
	timer   *time.Timer
	waits   atomic.Int32
	last    atomic.Int64 // when there was progress, as time since begin
	begin   time.Time
}

func newWatch(timeout time.Duration, stop context.CancelCauseFunc) *watch {
	w := &watch{timeout: timeout, stop: stop, begin: time.Now()}
	w.timer = time.AfterFunc(timeout, w.look)
	return w
}

func (w *watch) look() {
	left := w.timeout
	if w.waits.Load() > 0 {
		left -= time.Since(w.begin) - time.Duration(w.last.Load())
	}
	if left > 0 {
		w.timer.Reset(left)
		return
	}
	w.stop(fmt.Errorf("no progress for %s (\"timeout\" of the plugin in the configuration): %w", w.timeout, context.DeadlineExceeded))
}

// progress notes that the plugin does something.
func (w *watch) progress() { w.last.Store(int64(time.Since(w.begin))) }

// wait says that the plugin is waited for from now on, until done is called.
func (w *watch) wait() {
	w.progress()
	w.waits.Add(1)
}

func (w *watch) done() { w.waits.Add(-1) }

func (w *watch) end() { w.timer.Stop() }

// progressing is a stream to or from a plugin, each part of which is progress.
type progressing struct {
	io.ReadCloser
	watch *watch
}

func (p progressing) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	p.watch.progress()
	return n, err
}
