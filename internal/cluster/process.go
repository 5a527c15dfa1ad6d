// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
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

// process is one running part.
type process struct {
	name string
	log  string // path of what it writes
	cmd  *exec.Cmd
	dead chan struct{} // closed once it has ended
}

// run starts a program of the folder of binaries under a name. Nothing of the environment of the tests reaches it.
func (c *Cluster) run(name, program string, env []string, args ...string) (*process, error) {
	bin := filepath.Join(c.bin, program)
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%s %w", program, ErrNotBuilt)
	}
	p := &process{name: name, log: filepath.Join(c.dir, "log", name+".log"), dead: make(chan struct{})}
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
func (c *Cluster) part(name string, env []string, args ...string) (*process, error) {
	p, err := c.run(name, name, env, args...)
	if err == nil {
		c.parts = append(c.parts, p)
	}
	return p, err
}

// await waits until a URL answers with 200, as long as the part that should lives.
func (p *process) await(client *http.Client, url string) error {
	last := errors.New("no answer yet")
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s", resp.Status)
		}
		last = err
		select {
		case <-p.dead:
			return fmt.Errorf("%s ended at once:\n%s", p.name, p.tail())
		case <-time.After(50 * time.Millisecond): // there is no other way to learn that it is ready
		}
	}
	return fmt.Errorf("%s is not ready after %v: %w\n%s", p.name, startTimeout, last, p.tail())
}

// stop asks processes to end, all at a time, and kills those that do not.
func stop(all ...*process) {
	var wg sync.WaitGroup
	for _, p := range all {
		if p == nil {
			continue
		}
		wg.Go(func() {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			select {
			case <-p.dead:
			case <-time.After(stopTimeout):
				_ = p.cmd.Process.Kill()
				<-p.dead
			}
		})
	}
	wg.Wait()
}

// tail is the end of what a part wrote.
func (p *process) tail() string {
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

// tell logs what the parts wrote if a test has failed.
func (c *Cluster) tell(t testing.TB) {
	if !t.Failed() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range append([]*process{c.etcd, c.apiServer}, c.parts...) {
		if p != nil {
			t.Logf("end of the log of %s:\n%s", p.name, p.tail())
		}
	}
}

// freeAddress is an address on which nobody listens. Its port is below those that the system gives to clients, so that none
// of these takes it until the part listens, or between two starts of a part.
func freeAddress() (string, error) {
	const first, end = 20000, 32000
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(end-first)))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no free port on 127.0.0.1")
}
