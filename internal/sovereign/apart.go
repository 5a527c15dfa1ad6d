// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// dialTimeout is how long somebody tries to reach an address who should not.
const dialTimeout = 2 * time.Second

// apart proves that nobody in one world reaches the other: a listener that its own world reaches is out of reach for the other one, and so
// is the address of a name server that everybody knows.
func (w *worlds) apart(ctx context.Context, rec *record) error {
	for _, s := range []side{build, target} {
		other := build
		if s == build {
			other = target
		}
		start := time.Now()
		err := w.unreachable(ctx, s, other)
		if err := rec.add(fmt.Sprintf("the side %q cannot reach the side %q, nor anybody else", other, s), start, err); err != nil {
			return err
		}
		fmt.Printf("  the side %q cannot reach the side %q, nor anybody else\n", other, s)
	}
	return nil
}

func (w *worlds) unreachable(ctx context.Context, s, other side) error {
	const port = ":4999"
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // which ends the listener
	listener := w.command(ctx, s, self, asListen, address(s)+port)
	ready, err := listener.StdoutPipe()
	if err != nil {
		return err
	}
	if err := listener.Start(); err != nil {
		return err
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil { // it writes when it listens
		return fmt.Errorf("no listener: %w", err)
	}
	dial := func(from side, to string) error {
		return w.command(ctx, from, self, asDial, to).Run()
	}
	if err := dial(s, address(s)+port); err != nil {
		return fmt.Errorf("the listener is not reached from its own world: %w", err)
	}
	for _, to := range []string{address(s) + port, "127.0.0.1" + port, "9.9.9.9:53"} {
		var refused *exec.ExitError
		if err := dial(other, to); !errors.As(err, &refused) {
			return fmt.Errorf("%s: reached from the side %q (%v)", to, other, err)
		}
	}
	return nil
}

// listen listens until it is killed, and says when it does.
func listen(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		c.Close()
	}
}

// dial tries to reach an address.
func dial(ctx context.Context, address string) error {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}
