// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"ocm/internal/cluster"
	"ocm/internal/k8sbench/load"
)

// readyTimeout is how long a round may take: what takes longer does not work.
const readyTimeout = 15 * time.Minute

// cost is what it took somebody to make all objects ready.
type cost struct {
	Wall, CPU time.Duration
	Server    time.Duration      // of processor time that kube-apiserver took meanwhile
	Peak      int64              // bytes
	Requests  map[string]float64 // by method
	Hits      float64
	Misses    float64
}

func (c cost) requests() float64 { return load.Sample{Requests: c.Requests}.Total() }

// idle is what the controllers do per minute when there is nothing to do.
type idle struct {
	CPU      time.Duration
	Requests float64
	Memory   int64 // bytes, at the end
}

// result is what was measured for one size.
type result struct {
	Plan       load.Plan
	Ours, Bare []cost // of the rounds
	Idle       *idle
}

// size is what all rounds with one number of objects have in common.
type size struct {
	*bench
	plan     load.Plan
	registry *load.Registry
	seed     string // the data of an etcd with all objects
	outcomes string // file, of what is to be written
	serial   int
}

// measure compares for one number of objects. The first round begins with ours, which tells what the bare client has to write; after that each
// begins with the other one.
func (b *bench) measure(p load.Plan) (result, error) {
	r := result{Plan: p}
	s := &size{bench: b, plan: p, seed: filepath.Join(b.dir, fmt.Sprintf("seed-%d", p.Components)), outcomes: filepath.Join(b.dir, fmt.Sprintf("outcomes-%d.json", p.Components))}
	var err error
	if s.registry, err = load.NewRegistry(b.ctx, p); err != nil {
		return r, err
	}
	defer s.registry.Close()
	start := time.Now()
	if err := s.makeObjects(); err != nil {
		return r, err
	}
	b.say("%d Components with %d Resources each: %d objects, made in %v", p.Components, p.Resources, p.Objects(), time.Since(start).Round(time.Second))
	for i := range b.rounds {
		for k := range 2 {
			if (i+k)%2 == 1 {
				c, err := s.bare()
				if err != nil {
					return r, err
				}
				b.tell("bare client", c)
				r.Bare = append(r.Bare, c)
				continue
			}
			last := i == b.rounds-1
			c, quiet, err := s.ours(last && b.options.idle > 0, i == 0)
			if err != nil {
				return r, err
			}
			b.tell("ocm-controller", c)
			r.Ours = append(r.Ours, c)
			if quiet != nil {
				r.Idle = quiet
			}
		}
	}
	b.judge(r)
	return r, os.RemoveAll(s.seed)
}

// makeObjects makes a cluster with all objects, of which every round gets a copy.
func (s *size) makeObjects() error {
	dir, c, err := s.cluster("")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer c.Stop()
	definitions, err := filepath.Abs(filepath.Join("deploy", "install", "chart", "files", "crds"))
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"apply", "--server-side", "-f", definitions}, {"wait", "--for=condition=Established", "--timeout=80s", "-f", definitions}} {
		if _, err := c.Run(s.ctx, "", args...); err != nil {
			return err
		}
	}
	client, err := load.Client(c.Config())
	if err != nil {
		return err
	}
	if err := load.Create(s.ctx, client, s.plan, s.registry); err != nil {
		return err
	}
	c.Stop()
	return os.Rename(filepath.Join(dir, "etcd"), s.seed)
}

// cluster starts one with the data of an etcd.
func (s *size) cluster(data string) (dir string, c *cluster.Cluster, err error) {
	s.serial++
	dir = filepath.Join(s.dir, fmt.Sprintf("cluster-%d-%d", s.plan.Components, s.serial))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, err
	}
	if data != "" {
		if err := os.CopyFS(filepath.Join(dir, "etcd"), os.DirFS(data)); err != nil {
			return "", nil, err
		}
		if err := os.Chmod(filepath.Join(dir, "etcd"), 0o700); err != nil {
			return "", nil, err
		}
	}
	c, err = cluster.New(dir, cluster.Options{})
	return dir, c, err
}

// round gives fn a fresh cluster, and somebody who watches it.
func (s *size) round(fn func(ctx context.Context, c *cluster.Cluster, w *load.Watch) error) error {
	dir, c, err := s.cluster(s.seed)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer c.Stop()
	ctx, cancel := context.WithTimeout(s.ctx, readyTimeout)
	defer cancel()
	w, err := load.NewWatch(ctx, c.Config(), s.plan)
	if err != nil {
		return err
	}
	defer w.Stop()
	return fn(ctx, c, w)
}

// bare lets the bare client write once.
func (s *size) bare() (took cost, err error) {
	err = s.round(func(ctx context.Context, c *cluster.Cluster, w *load.Watch) error {
		p, alive, err := s.start(nil, s.self, "bare", "-kubeconfig", c.AdminKubeconfig(), "-outcomes", s.outcomes, "-parallel", strconv.Itoa(s.parallel))
		if err != nil {
			return err
		}
		defer p.stop()
		if !p.lines.Scan() { // it has read what it needs
			<-alive.Done()
			return context.Cause(alive)
		}
		before, err := p.cpu()
		if err != nil {
			return err
		}
		served, err := server(ctx, c)
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := p.in.Write([]byte("\n")); err != nil {
			return err
		}
		if err := w.Wait(either(ctx, alive)); err != nil {
			return err
		}
		took.Wall = time.Since(start)
		if took.Server, err = served(); err != nil {
			return err
		}
		if !p.lines.Scan() {
			<-alive.Done()
			return context.Cause(alive)
		}
		n, err := strconv.ParseFloat(p.lines.Text(), 64)
		took.Requests = map[string]float64{http.MethodPatch: n}
		after, err2 := p.cpu()
		took.CPU = after - before
		var err3 error
		took.Peak, _, err3 = p.memory()
		return errors.Join(err, err2, err3)
	})
	return took, err
}

// server returns what tells how much processor time kube-apiserver has taken since now.
func server(ctx context.Context, c *cluster.Cluster) (since func() (time.Duration, error), err error) {
	client, err := rest.HTTPClientFor(c.Config())
	if err != nil {
		return nil, err
	}
	before, err := load.Scrape(ctx, client, c.Config().Host+"/metrics")
	return func() (time.Duration, error) {
		now, err := load.Scrape(ctx, client, c.Config().Host+"/metrics")
		return now.CPU - before.CPU, err
	}, err
}

// ours lets ocm-controller reconcile once, and then watches it a while if quiet is asked for. outcomes says that what it wrote is to
// be kept for the bare client.
func (s *size) ours(quiet, outcomes bool) (took cost, still *idle, err error) {
	err = s.round(func(ctx context.Context, c *cluster.Cluster, w *load.Watch) error {
		metrics, err := freeAddress()
		if err != nil {
			return err
		}
		args := []string{s.controller, "--kubeconfig", c.AdminKubeconfig(), "--metrics-bind-address", metrics, "--health-probe-bind-address", "0", "--zap-log-level", "error"}
		served, err := server(ctx, c)
		if err != nil {
			return err
		}
		start := time.Now()
		p, alive, err := s.start(s.profileTo(), append(args, strings.Fields(s.flags)...)...)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := w.Wait(either(ctx, alive)); err != nil {
			return fmt.Errorf("%w\n%s", err, p.log.String())
		}
		took.Wall = time.Since(start)
		if took.CPU, err = p.cpu(); err != nil {
			return err
		}
		if took.Server, err = served(); err != nil {
			return err
		}
		sample, err := load.Calm(ctx, http.DefaultClient, "http://"+metrics+"/metrics")
		if err != nil {
			return err
		}
		took.Requests, took.Hits, took.Misses = sample.Requests, sample.Hits, sample.Misses
		if took.Peak, _, err = p.memory(); err != nil {
			return err
		}
		if outcomes {
			if err := s.keepOutcomes(ctx, c); err != nil {
				return err
			}
		}
		if quiet {
			still, err = s.quiet(ctx, p, metrics)
		}
		return err
	})
	return took, still, err
}

// quiet watches what is done when there is nothing to do.
func (s *size) quiet(ctx context.Context, p *program, metrics string) (*idle, error) {
	url := "http://" + metrics + "/metrics"
	before, err := load.Scrape(ctx, http.DefaultClient, url)
	if err != nil {
		return nil, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.options.idle):
	}
	after, err := p.cpu()
	if err != nil {
		return nil, err
	}
	now, err := load.Scrape(ctx, http.DefaultClient, url)
	if err != nil {
		return nil, err
	}
	perMinute := float64(time.Minute) / float64(s.options.idle)
	still := &idle{CPU: time.Duration(float64(after-cpu) * perMinute), Requests: now.Since(before).Total() * perMinute}
	_, still.Memory, err = p.memory()
	s.say("  quiet for %v: %v of CPU time per minute, %.0f requests, %d MiB", s.options.idle, still.CPU, still.Requests, still.Memory>>20)
	return still, err
}

func (s *size) keepOutcomes(ctx context.Context, c *cluster.Cluster) error {
	client, err := load.Client(c.Config())
	if err != nil {
		return err
	}
	all, err := load.Outcomes(ctx, client)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(s.outcomes, raw, 0o600)
}

// either ends with the first of two contexts, for its cause.
func either(a, b context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(a)
	context.AfterFunc(b, func() { cancel(context.Cause(b)) })
	return ctx
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
