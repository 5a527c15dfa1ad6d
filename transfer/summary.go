// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"sync/atomic"
	"time"
)

// Summary tells what a run did. After an error it tells what was finished before.
type Summary struct {
	Versions  int     `json:"versions"`        // in the plan
	Written   int64   `json:"written"`         // new or changed in the target
	Completed int64   `json:"completed"`       // that the target had, and that got only what is attached to them or to their images
	Unchanged int64   `json:"unchanged"`       // nothing was to be done with them
	Attached  int64   `json:"attached"`        // manifests that were attached to what the target had
	Contents  int64   `json:"contents"`        // resources and sources that were stored, or found stored, for the versions written
	LeftOut   int64   `json:"contentsLeftOut"` // as a whole, or some platforms of them; "ocm check" tells which
	Verified  int     `json:"verified"`        // root versions whose signatures and content were verified, at the source and at the target
	Blobs     int64   `json:"blobs"`           // that were moved
	Moved     int64   `json:"bytesMoved"`      // their bytes
	Found     int64   `json:"blobsFound"`      // that the target had
	Mounted   int64   `json:"blobsMounted"`    // that a registry took over from another of its repositories
	Skipped   int64   `json:"bytesSkipped"`    // of what was found or mounted
	Retries   int64   `json:"retries"`         // requests that were repeated, and streams that were resumed
	Seconds   float64 `json:"seconds"`
	Rate      int64   `json:"bytesPerSecond"`
}

// tally is a run's summary while it grows.
type tally struct {
	p                 *Plan
	begin             time.Time
	before            Summary // what the job had counted before
	written, contents int64
	leftOut           int64
	completed         int64
	attached          int64
	verified          int // roots
}

func (p *Plan) begin() *tally {
	t := &tally{p: p, begin: p.env.Time()}
	t.count(&t.before)
	return t
}

// count reads the job's counters.
func (t *tally) count(s *Summary) {
	c := t.p.env.Job.Counters()
	s.Blobs, s.Moved, s.Found = c.Blobs.Load(), c.Moved.Load(), c.Found.Load()
	s.Mounted, s.Skipped, s.Retries = c.Mounted.Load(), c.Skipped.Load(), c.Retries.Load()
}

func (t *tally) summary() *Summary {
	s := &Summary{Versions: len(t.p.Versions), Written: atomic.LoadInt64(&t.written), Contents: atomic.LoadInt64(&t.contents),
		LeftOut: atomic.LoadInt64(&t.leftOut), Completed: atomic.LoadInt64(&t.completed), Attached: atomic.LoadInt64(&t.attached), Verified: t.verified}
	for _, vp := range t.p.Versions {
		if vp.Idle() {
			s.Unchanged++
		}
	}
	t.count(s)
	b := &t.before
	s.Blobs, s.Moved, s.Found = s.Blobs-b.Blobs, s.Moved-b.Moved, s.Found-b.Found
	s.Mounted, s.Skipped, s.Retries = s.Mounted-b.Mounted, s.Skipped-b.Skipped, s.Retries-b.Retries
	if s.Seconds = t.p.env.Time().Sub(t.begin).Seconds(); s.Seconds > 0 {
		s.Rate = int64(float64(s.Moved) / s.Seconds)
	}
	return s
}
