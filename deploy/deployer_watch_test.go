// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"testing"
	"time"
)

// A server that has just started refuses for some seconds what it allows; what is not allowed is refused for good.
func TestWatchesOutliveRefusals(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &watches{now: func() time.Time { return now }}
	stopped := false
	at := &watching{stop: func() { stopped = true }}
	refuse := func(after time.Duration) {
		now = now.Add(after)
		w.refuse(at)
	}
	for range 3 {
		refuse(10 * time.Second)
	}
	if stopped || at.works(now) {
		t.Errorf("after 20 seconds: stopped %t, works %t", stopped, at.works(now))
	}
	if now = now.Add(2 * time.Minute); !at.works(now) {
		t.Error("nothing is refused any more")
	}
	refuse(time.Hour) // another restart
	if stopped {
		t.Error("refusals of another time count")
	}
	for range 4 {
		refuse(30 * time.Second)
	}
	if !stopped || at.works(now.Add(time.Hour)) {
		t.Errorf("after two minutes: stopped %t", stopped)
	}
}
