// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"ocm/internal/netns"
)

// The addresses of the worlds, and the names that are known in them.
const (
	buildAddress  = "10.78.0.1"
	targetAddress = "10.77.0.1"
	buildName     = "build.registry"
	targetName    = "registry"
)

// worlds are those of the three sides.
type worlds struct {
	of map[side]*netns.World
}

func newWorlds(l *lab) (*worlds, error) {
	w := &worlds{of: map[side]*netns.World{}}
	for s, o := range map[side]netns.Options{
		build:  {Name: "build", Address: prefix(buildAddress), Hosts: map[string]netip.Addr{buildName: prefix(buildAddress).Addr()}},
		carry:  {Name: "carry"},
		target: {Name: "target", Address: prefix(targetAddress), Hosts: map[string]netip.Addr{targetName: prefix(targetAddress).Addr()}, Hide: l.hidden()},
	} {
		one, err := netns.New(o)
		if err != nil {
			w.close()
			return nil, err
		}
		w.of[s] = one
	}
	return w, nil
}

func prefix(address string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(address), 24) }

func address(s side) string {
	if s == build {
		return buildAddress
	}
	return targetAddress
}

// close ends all that runs in the worlds.
func (w *worlds) close() {
	for _, one := range w.of {
		_ = one.Close() // it says how the first process has ended, which nobody needs to know
	}
}

func (w *worlds) command(ctx context.Context, s side, args ...string) *exec.Cmd {
	return w.of[s].Command(ctx, args[0], args[1:]...)
}

// stay waits until it is interrupted, and tells how to get in.
func (w *worlds) stay(ctx context.Context, l *lab) {
	fmt.Println("\nAll is kept until you press Ctrl-C. In another terminal:")
	for _, s := range []side{build, target} {
		env := append(l.environment(s), "TERM="+os.Getenv("TERM"))
		fmt.Printf("\nthe side %q:\n  nsenter --target=%d --mount --net --pid --uts --ipc --wdns=%s env -i %s bash --norc\n", s, w.of[s].PID(), l.folder(s), quote(env))
	}
	<-ctx.Done()
}

func quote(env []string) string {
	for i, v := range env {
		env[i] = "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
	}
	return strings.Join(env, " ")
}
