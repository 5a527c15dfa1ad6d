// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocm"
)

func TestProgressInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		report := s.showProgress(time.Now)
		report(ocm.Event{Item: "a", Bytes: 1 << 20, Total: 1 << 20, Done: true})
		report(ocm.Event{Item: "b", Bytes: 1 << 20, Total: 4 << 20})
		time.Sleep(2 * time.Minute) // nothing new: not a line more
		report(ocm.Event{Item: "b", Bytes: 4 << 20, Total: 4 << 20, Done: true})
		time.Sleep(6 * time.Second)
		s.stopProgress()
		s.stopProgress()
		want := "1 done, 1 running, 2.0 MiB, 409.6 KiB/s: b 25% of 4.0 MiB\n"
		got := b.String()
		if !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 2 || !strings.Contains(got, "2 done, 0 running, 5.0 MiB") {
			t.Errorf("got %q", got)
		}
	})
}

func TestProgressShowsNothingOfShortWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		s.terminal = true
		report := s.showProgress(time.Now)
		report(ocm.Event{Item: "a", Bytes: 1, Total: -1})
		time.Sleep(900 * time.Millisecond)
		s.stopProgress()
		if b.Len() > 0 {
			t.Errorf("got %q", b.String())
		}
	})
}

// On a terminal there is a line for each item and one for all, redrawn, never wider than the
// terminal, gone at the end and before each message.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		s.terminal = true
		report := s.showProgress(time.Now)
		report(ocm.Event{Total: 12 << 20})
		for i := range 10 {
			report(ocm.Event{Item: "acme.org/\x1b[2J" + strings.Repeat("long", 40), Bytes: int64(i) << 20, Total: 10 << 20})
			report(ocm.Event{Item: "other", Bytes: 1 << 20, Total: 2 << 20})
			time.Sleep(500 * time.Millisecond)
		}
		slog.New(slog.NewTextHandler(s, nil)).Warn("message")
		s.stopProgress()
		got := b.String()
		for part := range strings.SplitSeq(strings.ReplaceAll(got, "\n", eraseBelow), eraseBelow) {
			part = strings.TrimSuffix(part, upBy(2))
			if n := len([]rune(part)); n > progressWidth || strings.Contains(part, "\x1b") {
				t.Errorf("%d characters: %q", n, part)
			}
		}
		if !strings.Contains(got, upBy(2)+eraseBelow+"time=") || !strings.HasSuffix(got, "msg=message\n") {
			t.Errorf("got %q", got)
		}
		if want := "\n0 done, 2 running, 10.0 MiB of 12.0 MiB (83%), "; !strings.Contains(got, want) || !strings.Contains(got, "  other 50% of 2.0 MiB\n") {
			t.Errorf("expected %q in %q", want, got)
		}
	})
}

// What is found at the target counts for the whole, not for the rate; the share never shrinks.
func TestProgressCountsWhatIsSkipped(t *testing.T) {
	begin := time.Now()
	p := &progress{begin: begin, items: map[string]ocm.Event{}}
	p.report(ocm.Event{Total: 100 << 20})
	p.report(ocm.Event{Item: "there", Bytes: 60 << 20, Total: 60 << 20, Done: true, Skipped: true})
	p.report(ocm.Event{Item: "moved", Bytes: 20 << 20, Total: 20 << 20, Done: true})
	at, ok := p.look(begin.Add(10 * time.Second))
	if got, want := at.total(), "1 done, 0 running, 80.0 MiB of 100.0 MiB (80%), 2.0 MiB/s, 10s left"; !ok || got != want {
		t.Errorf("expected %q, found %q", want, got)
	}
	p.report(ocm.Event{Total: 300 << 20})
	if at, _ := p.look(begin.Add(20 * time.Second)); at.part != 80 {
		t.Errorf("the share fell to %d%%", at.part)
	}
}

func TestProgressForMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		s.json, s.terminal = true, true
		report := s.showProgress(time.Now)
		report(ocm.Event{Total: 4})
		report(ocm.Event{Item: "a", Bytes: 1, Total: 4})
		time.Sleep(1500 * time.Millisecond)
		s.stopProgress()
		want := `{"progress":{"bytes":1,"done":0,"expected":4,"running":[{"name":"a","bytes":1,"total":4}],"seconds":1,"skipped":0}}` + "\n"
		if b.String() != want {
			t.Errorf("expected %s, found %s", want, b.String())
		}
	})
}

func TestProgressMayBeReportedConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		s.terminal = true
		report := s.showProgress(time.Now)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 100 {
					report(ocm.Event{Item: fmt.Sprint(i, j), Bytes: 1, Total: 1, Done: j%2 == 0})
					fmt.Fprintln(s, "line")
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		s.stopProgress()
		if got := strings.Count(b.String(), "line\n"); got != 800 {
			t.Errorf("%d messages of 800", got)
		}
	})
}
