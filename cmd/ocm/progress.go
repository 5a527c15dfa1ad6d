// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ocm"
)

// How progress is shown.
const (
	progressQuiet = time.Second            // nothing is shown of work that is done by then
	progressDraw  = 200 * time.Millisecond // redrawing the lines of a terminal
	progressLog   = 5 * time.Second        // writing a line to anything else
	progressJSON  = time.Second            // writing a line for a machine
	progressWidth = 79                     // columns of a line on a terminal, where that does not tell its own
	progressItems = 8                      // lines of items on a terminal
	eraseBelow    = "\r\x1b[J"             // from here to the end of the screen
)

// screen owns stderr: the log, errors and the progress display write through it, so that
// the display never stands in the middle of a message.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	json     bool // progress is for machines
	drawn    int  // lines of progress that stand on the terminal
	progress *progress
	now      func() time.Time
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
	if s.drawn > 0 {
		io.WriteString(s.w, upBy(s.drawn-1)+eraseBelow)
		s.drawn = 0
	}
}

// upBy moves the cursor up.
func upBy(lines int) string {
	if lines == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA", lines)
}

// showProgress starts the display and returns where events go. The display ends with
// stopProgress; another one can begin then.
func (s *screen) showProgress(now func() time.Time) func(ocm.Event) {
	s.stopProgress()
	p := &progress{begin: now(), quiet: progressQuiet, items: map[string]ocm.Event{}}
	s.now = now
	every := progressLog
	switch {
	case s.json:
		every = progressJSON
	case s.terminal:
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
	at, ok := s.progress.look(now)
	if !ok {
		return
	}
	var text string
	switch {
	case s.json:
		text = at.json()
	case s.terminal:
		text = at.lines(lineWidth(s.w, progressWidth))
	default:
		text = at.total() + at.longest() + "\n"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	io.WriteString(s.w, text)
	if s.terminal && !s.json {
		s.drawn = strings.Count(text, "\n") + 1
	}
}

// stopProgress ends the display and removes it from a terminal. It may be called twice.
func (s *screen) stopProgress() {
	if s.stop != nil {
		close(s.stop)
		<-s.stopped
		s.stop = nil
		if s.json { // machines get the end of short work, too
			s.progress.quiet = 0
			s.draw(s.now())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// progress sums up the events of one run.
type progress struct {
	begin time.Time
	quiet time.Duration // nothing is shown before

	mu       sync.Mutex
	items    map[string]ocm.Event // that are worked on
	done     int
	moved    int64 // bytes of what is done
	skipped  int64 // bytes of what was there already
	expected int64 // bytes of all that was announced
	part     int   // percent that were shown
	changed  bool
}

func (p *progress) report(ev ocm.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = true
	switch {
	case ev.Item == "":
		p.expected += ev.Total
	case ev.Done && ev.Skipped:
		delete(p.items, ev.Item)
		p.skipped += ev.Bytes
	case ev.Done:
		delete(p.items, ev.Item)
		p.done++
		p.moved += ev.Bytes
	default:
		p.items[ev.Item] = ev
	}
}

// state is progress at one moment.
type state struct {
	items   []ocm.Event // that are worked on, in the order of their names
	done    int         // items
	bytes   int64       // that moved so far
	skipped int64       // that were there already
	all     int64       // that moved, were skipped or are expected to; not less than the others
	part    int         // percent of all
	elapsed time.Duration
}

// look tells the state; false while there is nothing to show, or nothing new.
func (p *progress) look(now time.Time) (state, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := state{done: p.done, bytes: p.moved, skipped: p.skipped, elapsed: now.Sub(p.begin)}
	if at.elapsed < p.quiet || !p.changed {
		return at, false
	}
	p.changed = false
	for _, name := range slices.Sorted(maps.Keys(p.items)) {
		at.items = append(at.items, p.items[name])
		at.bytes += p.items[name].Bytes
	}
	at.all = max(p.expected, at.bytes+at.skipped)
	if at.all > 0 { // it grows while work is found: what is shown must not shrink
		p.part = max(p.part, int(100*(at.bytes+at.skipped)/at.all))
	}
	at.part = p.part
	return at, true
}

// rate is in bytes per second.
func (s state) rate() float64 { return float64(s.bytes) / s.elapsed.Seconds() }

// left is the time that the rest will take at this rate; 0: nobody knows.
func (s state) left() time.Duration {
	if rest := s.all - s.bytes - s.skipped; rest > 0 && s.rate() > 0 {
		return time.Duration(float64(rest) / s.rate() * float64(time.Second)).Round(time.Second)
	}
	return 0
}

// total is the line about everything.
func (s state) total() string {
	line := fmt.Sprintf("%d done, %d running, %s", s.done, len(s.items), size(s.bytes+s.skipped))
	if s.all > s.bytes+s.skipped {
		line += fmt.Sprintf(" of %s (%d%%)", size(s.all), s.part)
	}
	line += fmt.Sprintf(", %s/s", size(int64(s.rate())))
	if left := s.left(); left > 0 {
		line += fmt.Sprintf(", %v left", left)
	}
	return line
}

// longest is the largest item, for a single line.
func (s state) longest() string {
	if len(s.items) == 0 {
		return ""
	}
	largest := slices.MaxFunc(s.items, func(a, b ocm.Event) int { return cmp.Compare(a.Total, b.Total) })
	return ": " + clean(largest.Item, false) + portion(largest)
}

// lines is a line for each of the first items and one about everything.
func (s state) lines(width int) string {
	var b strings.Builder
	for i, ev := range s.items {
		if i == progressItems {
			fmt.Fprintf(&b, "  and %d more\n", len(s.items)-i)
			break
		}
		part := portion(ev)
		b.WriteString("  " + shorten(clean(ev.Item, false), width-2-utf8.RuneCountInString(part)) + part + "\n")
	}
	return b.String() + shorten(s.total(), width)
}

// json is the state for machines, one line.
func (s state) json() string {
	type item struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
		Total int64  `json:"total"` // -1: not known
	}
	items := []item{}
	for _, ev := range s.items {
		items = append(items, item{ev.Item, ev.Bytes, ev.Total})
	}
	line, err := json.Marshal(map[string]any{"progress": map[string]any{
		"done": s.done, "running": items, "bytes": s.bytes, "skipped": s.skipped, "expected": s.all,
		"seconds": math.Round(s.elapsed.Seconds()*10) / 10,
	}})
	if err != nil {
		return "" // numbers and strings cannot fail
	}
	return string(line) + "\n"
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
	half := max(0, (width-1)/2)
	return strings.TrimSpace(string(r[:max(0, width-1-half)])) + "…" + string(r[len(r)-half:])
}
