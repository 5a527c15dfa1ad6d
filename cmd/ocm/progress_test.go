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

// On a terminal the line is redrawn, never wider than the terminal, gone at the end and
// before each message.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := newScreen(&b)
		s.terminal = true
		report := s.showProgress(time.Now)
		for i := range 10 {
			report(ocm.Event{Item: "acme.org/\x1b[2J" + strings.Repeat("long", 40), Bytes: int64(i) << 20, Total: 10 << 20})
			time.Sleep(500 * time.Millisecond)
		}
		slog.New(slog.NewTextHandler(s, nil)).Warn("message")
		s.stopProgress()
		got := b.String()
		for part := range strings.SplitSeq(strings.ReplaceAll(got, "\n", eraseLine), eraseLine) {
			if n := len([]rune(part)); n > progressWidth || strings.Contains(part, "\x1b") {
				t.Errorf("%d characters: %q", n, part)
			}
		}
		if !strings.Contains(got, eraseLine+"time=") || !strings.HasSuffix(got, "msg=message\n") {
			t.Errorf("got %q", got)
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
