// SPDX-License-Identifier: Apache-2.0

package ocm_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"ocm"
)

// What a job keeps is made once, for each key; a nil job keeps nothing.
func TestJobKeep(t *testing.T) {
	t.Parallel()
	type key struct{ name string }
	var made atomic.Int32
	fresh := func() any { made.Add(1); return new(int) }
	job := ocm.NewJob(2)
	first := job.Keep(key{"a"}, fresh)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if job.Keep(key{"a"}, fresh) != first {
				t.Error("expected the same value")
			}
		})
	}
	wg.Wait()
	if job.Keep(key{"b"}, fresh) == first || made.Load() != 2 {
		t.Errorf("expected a value for each key, found %d", made.Load())
	}
	var none *ocm.Job
	if none.Keep(key{"a"}, fresh) == none.Keep(key{"a"}, fresh) {
		t.Error("expected a nil job to keep nothing")
	}
}
