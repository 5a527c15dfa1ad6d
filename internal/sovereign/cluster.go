// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ocm/internal/cluster"
)

func clusterLog(l *lab) string { return filepath.Join(l.log, "cluster.log") }

// nodeDiskSize is how much room containers and images have on the node: enough for three versions, and little enough to be filled.
const nodeDiskSize = "2g"

// clusterProcess is the cluster, in the target.
type clusterProcess struct {
	cmd   *exec.Cmd
	input io.Closer
}

// startCluster starts the cluster, and waits until it is ready.
func (w *worlds) startCluster(ctx context.Context, l *lab, light bool) (*clusterProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if out, err := w.command(ctx, target, "mount", "-t", "tmpfs", "-o", "size="+nodeDiskSize, "node", l.nodeDisk).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount: %w: %s", err, out)
	}
	args := []string{self, asCluster, l.cluster, l.nodeDisk}
	if light {
		args = append(args, "light")
	}
	log, err := os.Create(clusterLog(l))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &clusterProcess{cmd: w.command(context.WithoutCancel(ctx), target, args...)}
	c.cmd.Dir, c.cmd.Stderr = l.root, log
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	ready, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if l.kubeconfig, err = bufio.NewReader(ready).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("it did not start (%w)", c.cmd.Wait()), errors.New(strings.TrimSpace(tail(clusterLog(l)))))
	}
	l.kubeconfig = strings.TrimSpace(l.kubeconfig)
	return c, nil
}

// stop asks the cluster to end, and waits until it has.
func (c *clusterProcess) stop() {
	_ = c.input.Close()
	_ = c.cmd.Wait() // how it ended changes nothing any more
}

// serveCluster runs a cluster until its input ends, and prints the path of the administrator's kubeconfig when it is ready. Arguments: folder, disk of the node, and "light" for one without a real node.
func serveCluster(ctx context.Context, args []string) error {
	dir, light := args[0], len(args) > 2
	o := cluster.Options{Workloads: light}
	if !light {
		here := netip.MustParseAddr(targetAddress)
		o.Address, o.Node = here, &cluster.Machine{
			Sandbox:    targetName + ":5000/sovereign/pause:1.0.0",
			Registries: map[string]string{targetName + ":5000": "http://" + targetAddress + ":5000"},
			Hosts:      map[string]netip.Addr{targetName: here},
			Images:     args[1],
		}
	}
	c, err := cluster.New(dir, o)
	if err != nil {
		return err
	}
	defer c.Stop()
	if light {
		root, err := os.Getwd()
		if err != nil {
			return err
		}
		p := &pods{cluster: c, dir: filepath.Join(dir, "pods"), crane: filepath.Join(root, "bin", "crane")}
		go p.play(ctx)
	}
	fmt.Println(c.AdminKubeconfig())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
