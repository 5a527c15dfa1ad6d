// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ocm"
	"ocm/deploy/v1alpha1"
)

const (
	// maxFailed bounds the failures of a transfer that are listed.
	maxFailed = 20
	// maxItems bounds the items of a transfer that are counted while they move.
	maxItems = 1000
)

// transfers knows how far transfers are that are under way. The zero value is ready.
type transfers struct {
	mu      sync.Mutex
	running map[question]*transfer
}

// transfer counts bytes.
type transfer struct {
	mu          sync.Mutex
	start       time.Time
	total, done int64
	items       map[string]int64 // that move, with what is done of them
}

// begin remembers a transfer, and returns who counts for it.
func (t *transfers) begin(key question, start time.Time) func(ocm.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = map[question]*transfer{}
	}
	is := &transfer{start: start, items: map[string]int64{}}
	t.running[key] = is
	return is.count
}

func (t *transfers) end(key question) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, key)
}

// show writes how far a transfer is into the status, unless that is there already.
func (t *transfers) show(key question, status *v1alpha1.ReplicationStatus, now time.Time) {
	t.mu.Lock()
	is := t.running[key]
	t.mu.Unlock()
	if is == nil {
		return // it has not begun
	}
	p := is.progress()
	if was := status.Progress; was != nil && was.Bytes == p.Bytes && was.BytesDone == p.BytesDone && p.StartTime.Equal(was.StartTime) {
		return
	}
	p.UpdateTime = stamp(now)
	status.Progress = &p
}

func (t *transfer) count(e ocm.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.items[e.Item]
	switch {
	case e.Item == "":
		t.total += max(e.Total, 0)
	case e.Done:
		t.done += max(e.Bytes, e.Total, 0)
		delete(t.items, e.Item)
	case known || len(t.items) < maxItems:
		t.items[e.Item] = e.Bytes
	}
}

func (t *transfer) progress() v1alpha1.TransferProgress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := v1alpha1.TransferProgress{Bytes: t.total, BytesDone: t.done, StartTime: stamp(t.start)}
	for _, n := range t.items {
		p.BytesDone += n
	}
	p.Bytes = max(p.Bytes, p.BytesDone)
	return p
}

// stamp is a time as it is when it is read again.
func stamp(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.Truncate(time.Second))
	return &at
}

// failedEvents lists what could not be copied.
func failedEvents(source *v1alpha1.ComponentInfo, err error) []v1alpha1.FailedTransferEvent {
	var list []v1alpha1.FailedTransferEvent
	for _, err := range each(err) {
		e := v1alpha1.FailedTransferEvent{ID: source.Component + ":" + source.Version, Name: source.Component, Error: clip(err.Error(), MaxNote)}
		// Errors of transfers begin with the version, and the element of it.
		if parts := strings.SplitN(err.Error(), ": ", 3); len(parts) == 3 && strings.Contains(parts[0], "/") {
			e.ID, e.Name, e.Error = clip(parts[0], 256), clip(parts[1], 256), clip(parts[2], MaxNote)
		}
		if list = append(list, e); len(list) == maxFailed {
			break
		}
	}
	return list
}

// each lists the errors that were joined.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !strings.Contains(err.Error(), "\n") { // several that are told in one sentence are one
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}
