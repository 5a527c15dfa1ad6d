// SPDX-License-Identifier: Apache-2.0

// Command up starts a cluster with a real node, prints the path of the administrator's kubeconfig once it is ready, and stops it when its input
// ends, or it is asked to: so it never outlives whoever started it. It is started in a world of ocm/internal/netns, within the project.
//
//	up -dir DIR -address 10.77.0.1 -sandbox registry:5000/pause:1 -registry registry:5000=http://10.77.0.1:5000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"ocm/internal/cluster"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	dir, o, err := parse(args)
	if err != nil {
		return err
	}
	c, err := cluster.New(dir, o)
	if err != nil {
		return err
	}
	defer c.Stop()
	if _, err := fmt.Fprintln(out, c.AdminKubeconfig()); err != nil {
		return err
	}
	stopped, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // however it ends
		cancel()
	}()
	<-stopped.Done()
	return nil
}

// parse reads the command line.
func parse(args []string) (dir string, o cluster.Options, err error) {
	m := &cluster.Machine{Registries: map[string]string{}, Hosts: map[string]netip.Addr{}}
	o.Node = m
	fs := flag.NewFlagSet("up", flag.ContinueOnError)
	fs.StringVar(&dir, "dir", "", "folder for everything that it writes; must exist")
	fs.TextVar(&o.Address, "address", netip.Addr{}, "where the API server listens")
	fs.StringVar(&m.Sandbox, "sandbox", "", "image of the container that holds each pod together")
	fs.StringVar(&m.Images, "images", "", "folder of images and containers; default: in -dir")
	fs.Func("registry", "HOST=URL, once for each registry", func(s string) error {
		name, at, ok := strings.Cut(s, "=")
		if m.Registries[name] = at; !ok {
			return errors.New("expected HOST=URL")
		}
		return nil
	})
	fs.Func("host", "NAME=ADDRESS, once for each name that pods can look up", func(s string) error {
		name, at, _ := strings.Cut(s, "=")
		a, err := netip.ParseAddr(at)
		m.Hosts[name] = a
		return err
	})
	if err := fs.Parse(args); err != nil {
		return "", o, err
	}
	if dir == "" || fs.NArg() > 0 {
		return "", o, errors.New("expected -dir and no arguments; see -help")
	}
	return dir, o, nil
}
