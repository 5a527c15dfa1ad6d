// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ocm"
)

// How often progress is shown.
const (
	progressQuiet = time.Second            // nothing is shown of work that is done by then
	progressDraw  = 200 * time.Millisecond // redrawing a line of a terminal
	progressLog   = 5 * time.Second        // writing a line to anything else
	progressWidth = 79                     // columns of a line on a terminal
	eraseLine     = "\r\x1b[K"
)

// screen owns stderr: the log, errors and the progress display write through it, so that
// the display never stands in the middle of a message.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	drawn    bool // a progress line stands on the terminal
	progress *progress
	stop     chan struct{}
	stopped  chan struct{}
}

func newScreen(w io.Writer) *screen { return &screen{w: w, terminal: isTerminal(w)} }

// isTerminal reports whether lines can be redrawn on w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Write writes a message; a progress line that stands there is erased first.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.w.Write(p)
}

func (s *screen) erase() {
	if s.drawn {
		s.drawn = false
		io.WriteString(s.w, eraseLine)
	}
}

// showProgress starts the display and returns where events go. The display ends with
// stopProgress; another one can begin then.
func (s *screen) showProgress(now func() time.Time) func(ocm.Event) {
	s.stopProgress()
	p := &progress{begin: now(), items: map[string]ocm.Event{}}
	every := progressLog
	if s.terminal {
		every = progressDraw
	}
	s.progress, s.stop, s.stopped = p, make(chan struct{}), make(chan struct{})
	go s.redraw(every, now, s.stop, s.stopped)
	return p.report
}

func (s *screen) redraw(every time.Duration, now func() time.Time, stop, stopped chan struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.draw(now())
		case <-stop:
			return
		}
	}
}

func (s *screen) draw(now time.Time) {
	line := s.progress.line(now)
	if line == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.drawn = true
		io.WriteString(s.w, eraseLine+shorten(line, progressWidth))
		return
	}
	io.WriteString(s.w, line+"\n")
}

// stopProgress ends the display and removes it from a terminal. It may be called twice.
func (s *screen) stopProgress() {
	if s.stop != nil {
		close(s.stop)
		<-s.stopped
		s.stop = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// progress sums up the events of one run.
type progress struct {
	begin time.Time

	mu      sync.Mutex
	items   map[string]ocm.Event // that are worked on
	done    int
	doneSum int64 // bytes of what is done
	changed bool
}

func (p *progress) report(ev ocm.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = true
	if ev.Done {
		delete(p.items, ev.Item)
		p.done++
		p.doneSum += ev.Bytes
		return
	}
	p.items[ev.Item] = ev
}

// line tells the state in one line; empty if there is nothing new to tell.
func (p *progress) line(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := now.Sub(p.begin)
	if elapsed < progressQuiet || !p.changed {
		return ""
	}
	p.changed = false
	sum := p.doneSum
	var largest ocm.Event
	for _, item := range slices.Sorted(maps.Keys(p.items)) {
		ev := p.items[item]
		sum += ev.Bytes
		if largest.Item == "" || ev.Total > largest.Total {
			largest = ev
		}
	}
	speed := float64(sum) / elapsed.Seconds()
	line := fmt.Sprintf("%d done, %d running, %s, %s/s", p.done, len(p.items), size(sum), size(int64(speed)))
	if largest.Item != "" {
		line += ": " + clean(largest.Item, false) + portion(largest)
	}
	return line
}

// portion is how much of an item is done.
func portion(ev ocm.Event) string {
	switch {
	case ev.Total > 0:
		return fmt.Sprintf(" %d%% of %s", min(100, 100*max(0, ev.Bytes)/ev.Total), size(ev.Total))
	case ev.Bytes > 0:
		return " " + size(ev.Bytes)
	}
	return ""
}

// shorten cuts the middle out of a line that is too wide: its end says most.
func shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	half := (width - 1) / 2
	return strings.TrimSpace(string(r[:width-1-half])) + "…" + string(r[len(r)-half:])
}
