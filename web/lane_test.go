// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLaneHalvesAndGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lane{}
		enter := func() ticket {
			got, err := l.enter(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		var tickets []ticket
		for range 16 {
			tickets = append(tickets, enter())
		}
		for i, one := range tickets { // all of one burst are refused: it is halved once
			l.leave(one, i < 10, time.Second)
		}
		if l.limit != 8 {
			t.Fatalf("expected half of 16, found %d", l.limit)
		}
		began := time.Now()
		var inside []ticket
		for range 8 {
			inside = append(inside, enter())
		}
		if waited := time.Since(began); waited < time.Second || waited > 2*time.Second {
			t.Errorf("expected to be held for a second, waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.enter(ctx, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a ninth was let in: %v", err)
		}
		if _, err := l.enter(t.Context(), false); err != nil { // what others may wait for is never held back
			t.Error(err)
		}
		for _, one := range inside {
			l.leave(one, false, 0)
		}
		for range growAfter * unlimited {
			l.leave(enter(), false, 0)
		}
		if l.limit != 0 || l.inFlight != 0 {
			t.Errorf("expected no limit after so many successes, found %d with %d in flight", l.limit, l.inFlight)
		}
	})
}
