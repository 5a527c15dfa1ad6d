// SPDX-License-Identifier: Apache-2.0

// Package fault holds parts that fail when a test wants them to: a [Link] in place of an HTTP
// transport, a [Store] around an OCI store, a stream that breaks. What is done is counted in
// [Steps], so that a test can let step 1, 2, 3, … fail, one after the other, until there are no
// more. [Hosts] is a network in the process, in which tests with a clock of their own
// (testing/synctest) can wait for hours in no time. It is never part of a program.
package fault

import (
	"fmt"
	"io"
	"sync"
)

// Steps counts what happens and says which of it fails. One value may be shared by several
// links and stores.
type Steps struct {
	At   int  // number of the step that fails, from 1; 0: none
	Down bool // all behind it fail too

	mu    sync.Mutex
	names []string
	hits  []string
}

// next counts a step; what it is called is for messages. fails says whether it must fail.
func (s *Steps) next(name string) (fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
	n := len(s.names)
	return s.At > 0 && (n == s.At || s.Down && n > s.At)
}

// hit remembers that a fault had something to act on.
func (s *Steps) hit(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hits = append(s.hits, name)
}

// Names lists the steps so far.
func (s *Steps) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.names...)
}

// Hits lists the steps that were made to fail. A fault in a body does nothing to a request
// without one.
func (s *Steps) Hits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.hits...)
}

// Stream is what can happen to a stream.
type Stream int

// The ways of a stream.
const (
	Cut      Stream = iota + 1 // it breaks off with an error
	Corrupt                    // one bit is another one
	Truncate                   // it ends too early, as if that were its end
)

// broken is a stream to which something happens behind its first after bytes.
type broken struct {
	io.ReadCloser
	how   Stream
	after int64
	err   error // of Cut
	done  bool
}

// Break lets something happen to a stream behind its first after bytes; err is what [Cut] reports.
// Nothing of what the stream can do beside reading is left.
func Break(rc io.ReadCloser, how Stream, after int64, err error) io.ReadCloser {
	return &broken{ReadCloser: rc, how: how, after: after, err: fmt.Errorf("the stream was cut: %w", err)}
}

func (b *broken) Read(p []byte) (int, error) {
	switch {
	case b.after == 0 && b.how == Cut:
		return 0, b.err
	case b.after == 0 && b.how == Truncate:
		return 0, io.EOF
	}
	if b.after > 0 {
		p = p[:min(int64(len(p)), b.after)]
	}
	n, err := b.ReadCloser.Read(p)
	if b.how == Corrupt && b.after == 0 && !b.done && n > 0 {
		p[0] ^= 1
		b.done = true
	}
	b.after -= min(b.after, int64(n))
	return n, err
}
