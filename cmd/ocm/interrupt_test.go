// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// silent is standard input where nobody types anything.
type silent struct {
	asked func()
	end   <-chan struct{} // of the test
}

func (s silent) Read([]byte) (int, error) {
	s.asked()
	<-s.end
	return 0, io.EOF
}

// TestInterruptedAtStandardInput: who waits for an answer is interrupted at once.
func TestInterruptedAtStandardInput(t *testing.T) {
	for name, args := range map[string][]string{
		"password": {"login", "127.0.0.1:1", "-u", "me", "--password-stdin"},
		"request":  {"sign", "hash", "--request", "-"},
		"plan":     {"transfer", "cv", "--transfer-spec", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			a := &app{in: silent{interrupt, t.Context().Done()}, out: io.Discard, err: newScreen(io.Discard), getenv: func(string) string { return "" }, args: args, now: time.Now, ctx: ctx}
			root := newRoot(a)
			root.SetArgs(args)
			ended := make(chan error, 1)
			go func() { ended <- root.ExecuteContext(ctx) }()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("expected that it was interrupted, found %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("it still waits for standard input 20 seconds after it was interrupted")
			}
		})
	}
}
