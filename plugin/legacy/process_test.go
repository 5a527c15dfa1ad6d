// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
	"ocm/plugin/host"
	"ocm/plugin/legacy"
)

// starter starts processes of the test binary, and counts them.
type starter struct {
	path    string
	started atomic.Int32

	mu  sync.Mutex
	all []*running
}

type running struct {
	cmd   *exec.Cmd
	out   *os.File
	ended chan struct{}
}

func (r *running) Output() io.Reader      { return r.out }
func (r *running) Ended() <-chan struct{} { return r.ended }
func (r *running) Stop() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.ended:
	case <-time.After(5 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}

func (s *starter) start(args, variables []string) (legacy.Process, error) {
	s.started.Add(1)
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(s.path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = variables, w, os.Stderr
	if err := cmd.Start(); err != nil {
		out.Close()
		return nil, err
	}
	r := &running{cmd, out, make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(r.ended)
		out.Close()
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
	return r, nil
}

// last is the process that was started last.
func (s *starter) last() *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1]
}

// alone is a plugin without a host, and what it can do.
func alone(t testing.TB, name string, o legacy.Options) (*ocm.Kit, *starter, *legacy.Plugin) {
	t.Helper()
	s := &starter{path: filepath.Join(t.TempDir(), name)}
	self := fixture.Must[string](t)(os.Executable())
	if err := fixture.LinkProgram(self, s.path); err != nil {
		t.Fatal(err)
	}
	raw := fixture.Must[[]byte](t)(exec.CommandContext(t.Context(), s.path, "capabilities").Output())
	doc, ok, err := legacy.Parse(raw)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	o.Start, o.Temp = s.start, shortDir(t)
	p := legacy.New(name, doc, o)
	t.Cleanup(func() {
		p.Close()
		empty(t, o.Temp)
	})
	kit := ocm.NewKit()
	if err := p.Register(kit); err != nil {
		t.Fatal(err)
	}
	return kit, s, p
}

// Those who ask at once share one process.
func TestStartedOnce(t *testing.T) {
	t.Parallel()
	kit, s, _ := alone(t, "access", legacy.Options{})
	if n := s.started.Load(); n != 0 {
		t.Errorf("%d processes before anybody asks", n)
	}
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if got, err := echoed(t, kit, nil, fmt.Sprint("text ", i)); err != nil || got != fmt.Sprint("text ", i) {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	wait.Wait()
	if n := s.started.Load(); n != 1 {
		t.Errorf("%d processes", n)
	}
}

// A plugin that ended itself because nobody asked is started again.
func TestIdle(t *testing.T) {
	t.Parallel()
	kit, s, _ := alone(t, "access", legacy.Options{Idle: time.Second})
	for i := range 2 {
		if _, err := echoed(t, kit, nil, "x"); err != nil {
			t.Error(err)
		}
		<-s.last().ended
		if n := int(s.started.Load()); n <= i {
			t.Errorf("%d processes after %d questions", n, i+1)
		}
	}
}

// So is one that ends when it was asked, at a moment when the host does not know it yet.
func TestRestart(t *testing.T) {
	t.Parallel()
	kit, s, _ := alone(t, "access", legacy.Options{})
	if _, err := echoed(t, kit, nil, "exit"); err == nil || !strings.Contains(err.Error(), "plugin access: /resource/get") {
		t.Errorf("expected an error that names the plugin, found %v", err)
	}
	if n := s.started.Load(); n != 2 { // it is asked twice, not for ever
		t.Errorf("%d processes", n)
	}
	if got, err := echoed(t, kit, nil, "works again"); err != nil || got != "works again" {
		t.Errorf("%q %v", got, err)
	}
}

// A file that is no longer open is asked for again.
func TestManyContents(t *testing.T) {
	t.Parallel()
	kit, _, _ := alone(t, "access", legacy.Options{})
	method := fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1"))
	other := fixture.Must[ocm.Content](t)(method.Open(t.Context(), nil, spec(t, "echo/v1", "text", "grow")))
	contents := make([]ocm.Content, legacy.MaxFiles+5)
	for i := range contents {
		contents[i] = fixture.Must[ocm.Content](t)(method.Open(t.Context(), nil, spec(t, "echo/v1", "text", fmt.Sprint("content ", i))))
	}
	for range 2 {
		for i, c := range contents {
			if got := all(t, c); got != fmt.Sprint("content ", i) {
				t.Errorf("%d: %q", i, got)
			}
		}
	}
	if _, err := other.Open(t.Context()); !errors.Is(err, ocm.ErrConflict) {
		t.Errorf("content that has changed: %v", err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	kit, s, p := alone(t, "access", legacy.Options{})
	method := fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1"))
	c := fixture.Must[ocm.Content](t)(method.Open(t.Context(), nil, spec(t, "echo/v1", "text", "x")))
	p.Close()
	<-s.last().ended
	if _, err := c.Open(t.Context()); err == nil {
		t.Error("content of a plugin that was closed")
	}
	if _, err := echoed(t, kit, nil, "y"); err == nil {
		t.Error("a plugin that was closed has answered")
	}
	if n := s.started.Load(); n != 1 {
		t.Errorf("%d processes", n)
	}
	p.Close()
}

// Two hosts use one plugin at once, though its socket is in /tmp.
func TestFixedSocket(t *testing.T) {
	t.Parallel()
	kits := []*ocm.Kit{}
	for range 3 {
		kit, _, _ := alone(t, "fixed", legacy.Options{})
		kits = append(kits, kit)
	}
	pids := map[string]bool{}
	for _, kit := range kits {
		pid, err := echoed(t, kit, nil, "pid")
		if err != nil {
			t.Error(err)
		}
		pids[pid] = true
	}
	if len(pids) != len(kits) {
		t.Errorf("processes: %v", pids)
	}
	t.Cleanup(func() { // before the plugins are closed: see what they leave
		if left := fixture.Must[[]string](t)(filepath.Glob("/tmp/fixed-*-plugin.socket*")); len(left) < 2*len(kits) {
			t.Errorf("sockets: %q", left)
		}
	})
}

// A plugin is given the entries of the configuration that it names, and is not used without any.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	custom, other := spec(t, "custom.config/v1", "a", "b"), spec(t, "other.config/v1", "secret", "s")
	kit, _ := hosted(t, host.Options{Entries: []ocm.Spec{other, custom}}, "configured")
	if got, err := echoed(t, kit, nil, "x"); err != nil || got != "["+string(custom.Raw)+"]" {
		t.Errorf("%q %v", got, err)
	}
	kit, _ = hosted(t, host.Options{Entries: []ocm.Spec{other}}, "configured")
	_, err := kit.Access.For("echo/v1")
	fixture.WantErr(t, err, ocm.ErrUnknownType, "plugin configured", "custom.config/v1")
}

// Whatever a plugin names, it is not given the secrets of the configuration: entries are arguments, which all users of a computer can read.
func TestSecretsAreNoArguments(t *testing.T) {
	t.Parallel()
	custom := spec(t, "custom.config/v1", "a", "b")
	for _, typ := range []string{"credentials.config.ocm.software", "credentials.config.ocm.software/v1", "memory.credentials.config.ocm.software", "keys.config.ocm.software/v1"} {
		secret := spec(t, typ, "password", "hunter2")
		kit, _ := hosted(t, host.Options{Entries: []ocm.Spec{secret, custom}}, "configured")
		if got, err := echoed(t, kit, nil, "x"); err != nil || got != "["+string(custom.Raw)+"]" {
			t.Errorf("%s: %q %v", typ, got, err)
		}
		kit, _ = hosted(t, host.Options{Entries: []ocm.Spec{secret}}, "configured")
		_, err := kit.Access.For("echo/v1")
		fixture.WantErr(t, err, ocm.ErrUnknownType, "plugin configured", "credentials and keys are given to no plugin")
	}
}

// A process that does not start as it should is an error that names the plugin, and does not run on.
func TestStartFails(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{"far": ocm.ErrDenied, "flood": ocm.ErrInvalid, "mute": ocm.ErrInvalid} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit, s, _ := alone(t, name, legacy.Options{})
			_, err := echoed(t, kit, nil, "x")
			fixture.WantErr(t, err, want, "plugin "+name+": start")
			<-s.last().ended
		})
	}
}

// Who does not want to wait for the start does not.
func TestStartCancelled(t *testing.T) {
	t.Parallel()
	s := &starter{path: "/bin/sh"}
	doc, _, err := legacy.Parse([]byte(`{"capabilities":[{"type":"resourceRepository","supportedAccessTypes":[{"type":"x"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	temp := shortDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := legacy.New("sleeper", doc, legacy.Options{Temp: temp, Start: func(_, variables []string) (legacy.Process, error) {
		defer cancel() // it has begun
		return s.start([]string{"-c", "exec sleep 1000"}, variables)
	}})
	t.Cleanup(p.Close)
	kit := ocm.NewKit()
	if err := p.Register(kit); err != nil {
		t.Fatal(err)
	}
	_, err = fixture.Must[ocm.Opener](t)(kit.Access.For("x")).Open(ctx, nil, spec(t, "x"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("expected that it was cancelled, found %v", err)
	}
	<-s.last().ended
	empty(t, temp)
}
