// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 90 * time.Second // until a part is ready, on a machine that does other things as well
	stopTimeout  = 3 * time.Second  // until a part that was asked to end is killed
	logTail      = 6 << 10          // bytes of each part's log that are told
)

// Process is a running program.
type Process struct {
	name string
	log  string // path of what it writes
	cmd  *exec.Cmd
	dead chan struct{} // closed once it has ended
}

// Program starts a program of the test's own by its absolute path, say a controller beside the cluster. Of the
// environment of the test it gets PATH only, beside env. When the test ends it is stopped, before the cluster is, and if the
// test has failed the end of what it wrote is told.
func (c *Cluster) Program(t testing.TB, path string, env []string, args ...string) *Process {
	t.Helper()
	c.mu.Lock()
	c.serial++
	name := fmt.Sprintf("%s-%d", filepath.Base(path), c.serial)
	c.mu.Unlock()
	p, err := c.run(name, path, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", p.name, p.Log())
		}
	})
	return p
}

// run starts a program under a name. Nothing else of the environment of the tests reaches it.
func (c *Cluster) run(name, bin string, env []string, args ...string) (*Process, error) {
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%s %w", filepath.Base(bin), ErrNotBuilt)
	}
	p := &Process{name: name, log: filepath.Join(c.dir, "log", name+".log"), dead: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p.cmd = exec.Command(bin, args...)
	p.cmd.Dir, p.cmd.Env = c.dir, append(c.environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.cmd.Wait(); close(p.dead) }() // says how it was ended
	return p, nil
}

// environment is what every program gets to see.
func (c *Cluster) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + filepath.Join(c.dir, "tmp")}
}

// part runs one of the parts beside the servers, which ends with the cluster. The caller holds the lock, or is New.
func (c *Cluster) part(name string, env []string, args ...string) (*Process, error) {
	p, err := c.run(name, filepath.Join(c.bin, name), env, args...)
	if err == nil {
		c.parts = append(c.parts, p)
	}
	return p, err
}

// Await waits until a URL answers with 200. It is an error if the program ends before, or takes longer than a minute and a half.
func (p *Process) Await(client *http.Client, url string) error {
	return p.await(func() error {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
}

// await waits until a question is answered without an error.
func (p *Process) await(ask func() error) error {
	var last error
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		if last = ask(); last == nil {
			return nil
		}
		select {
		case <-p.dead:
			return fmt.Errorf("%s ended at once:\n%s", p.name, p.Log())
		case <-time.After(50 * time.Millisecond): // there is no other way to learn that it is ready
		}
	}
	return fmt.Errorf("%s is not ready after %v: %w\n%s", p.name, startTimeout, last, p.Log())
}

// Stop asks the program to end, and kills it if it does not within seconds. It may have ended already.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.dead:
	case <-time.After(stopTimeout):
		p.Kill()
	}
}

// End asks the program to end, and lets it do what it has to do before.
func (p *Process) End() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.dead:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("%s was asked to end %v ago", p.name, startTimeout)
	}
}

// Kill ends the program at once. It may have ended already.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.dead
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.dead }

// stop stops processes, all at a time.
func stop(all ...*Process) {
	var wg sync.WaitGroup
	for _, p := range all {
		if p != nil {
			wg.Go(p.Stop)
		}
	}
	wg.Wait()
}

// Log is the end of what it wrote.
func (p *Process) Log() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	cut := false
	if info, err := f.Stat(); err == nil && info.Size() > logTail {
		_, err = f.Seek(-logTail, io.SeekEnd)
		cut = err == nil
	}
	b, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return err.Error()
	}
	if _, rest, ok := bytes.Cut(b, []byte("\n")); cut && ok {
		b = rest // whole lines only
	}
	return string(b)
}

// tell logs what the parts wrote if a test has failed, and the tests are verbose: it is long, and mostly about something else.
func (c *Cluster) tell(t testing.TB) {
	if !t.Failed() || !testing.Verbose() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range append([]*Process{c.etcd, c.apiServer}, c.parts...) {
		if p != nil {
			t.Logf("end of the log of %s:\n%s", p.name, p.Log())
		}
	}
}

// freeAddress is an address on which nobody listens. Its port is below those that the system gives to clients, so that none
// of these takes it until the part listens, or between two starts of a part. Its twin of UDP is held until this process ends, so that
// it is given to nobody else of us, here or in the tests of another package.
func freeAddress() (string, error) { return freeAddressOf("127.0.0.1") }

func freeAddressOf(host string) (string, error) {
	const first, end = 20000, 32000
	for range 100 {
		addr := net.JoinHostPort(host, strconv.Itoa(first+rand.IntN(end-first)))
		claim, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			go func() { defer claim.Close(); select {} }()
			return addr, l.Close()
		}
		claim.Close()
	}
	return "", fmt.Errorf("no free port on %s", host)
}

func twoAddresses() (a, b string, err error) {
	if a, err = freeAddress(); err != nil {
		return "", "", err
	}
	b, err = freeAddress()
	return a, b, err
}
