// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/internal/plugintest"
	"ocm/plugin/host"
)

// until waits for something that comes without a sign.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// All calls share one process.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{}, "echo")
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := p.open(t.Context(), "echo", "hello"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(processes(p.dir)); n != 1 {
		t.Errorf("%d processes", n)
	}
}

// What nobody uses ends, and is started again where it is needed, as often as that.
func TestIdle(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Idle: 500 * time.Millisecond}, config.Plugin{}, "echo")
	for range 4 {
		p.works(t)
		until(t, "its end", func() bool { return len(processes(p.dir)) == 0 })
	}
}

// The time of a call does not count while it is the host that does not read.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{Timeout: 3 * time.Second}, "echo")
	c, err := p.open(t.Context(), "echo", "large")
	if err != nil {
		t.Fatal(err)
	}
	r, err := blob.Open(t.Context(), c.From, c.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.Sleep(4500 * time.Millisecond)
	if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, large()) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// A content that was opened before its plugin ended is opened again.
func TestContentOutlivesProcess(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Idle: 500 * time.Millisecond}, config.Plugin{}, "echo")
	c, err := p.open(t.Context(), "echo", "hello")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return len(processes(p.dir)) == 0 })
	if text, err := blob.ReadAll(t.Context(), c.From, c.Root, 100); err != nil || string(text) != "hello" {
		t.Errorf("%q %v", text, err)
	}
}

// A plugin that somebody killed is started again, without anybody noticing.
func TestRestart(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{}, "echo")
	p.works(t)
	kill(t, p)
	p.works(t)
	kill(t, p)
	_, err := p.open(t.Context(), "echo", "hello")
	bad(t, err, nil, "plugin echo: it has ended twice", "signal: killed")
}

func kill(t *testing.T, p *place) {
	t.Helper()
	plugins, err := p.host.Plugins()
	if err != nil || len(plugins) != 1 {
		t.Fatal(plugins, err)
	}
	pid := plugins[0].PID()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return len(processes(p.dir)) == 0 })
}

// A call that is given up returns at once, and takes nothing away from others.
func TestCancel(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, "hostile", "start-hangs")
	for _, typ := range []string{"hostile/v1", "start-hangs/v1"} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := p.open(ctx, typ, "hang"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if _, err := p.open(t.Context(), "hostile/v1", "fine"); err != nil {
		t.Error(err)
	}
}

// A plugin sees of the environment and of open files what it is granted.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{"AWS_SECRET_ACCESS_KEY": "psst", "GRANTED": "yes", "LC_TIME": "C", "GITHUB_TOKEN": "psst"} {
		t.Setenv(name, value)
	}
	fd, err := syscall.Dup(2) // as a shell may pass it on
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	p := newPlace(t, host.Options{}, config.Plugin{Environment: []string{"GRANTED"}, OpenFiles: 100}, "echo")
	c, err := p.open(t.Context(), "echo", "surroundings")
	if err != nil {
		t.Fatal(err)
	}
	text, err := blob.ReadAll(t.Context(), c.From, c.Root, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, want := range []string{"GRANTED=yes\n", "LC_TIME=C\n", "PATH=", "OCM_PLUGIN_SOCKET=", "files 100\n", "core 0\n", "group true\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("expected %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "psst") || strings.Contains(got, "\nopen: /dev/") && strings.Count(got, "\nopen: /dev/") > 1 {
		t.Errorf("found\n%s", got)
	}
	if plugintest.Memory == 0 && !strings.Contains(got, "GOMEMLIMIT=1879048192\n") {
		t.Errorf("found\n%s", got)
	}
	link, _ := os.Readlink("/proc/self/fd/2")
	if n := strings.Count(got, "open: "+link+"\n"); link != "" && n > 0 {
		t.Errorf("it has %s open:\n%s", link, got)
	}
}

// CVE-2019-5736 and others: no process outlives the host, however that ends.
func TestHostKilled(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "echo", "hostile")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOST_OF="+dir, "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if n := len(processes(dir)); err != nil || line != "started\n" || n != 2 {
		t.Errorf("%q %v, %d processes", line, err, n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until(t, "the end of its plugins", func() bool { return len(processes(dir)) == 0 })
}

// hostOf is what [TestHostKilled] kills.
func hostOf(dir string) {
	h := host.New(host.Options{Dirs: []string{dir}, Memory: plugintest.Memory})
	kit := ocm.NewKit()
	h.Attach(kit)
	p := &place{host: h, kit: kit}
	for _, typ := range []string{"echo", "hostile/v1"} {
		if _, err := p.open(context.Background(), typ, "stay"); err != nil {
			println(err.Error())
			os.Exit(1)
		}
	}
	os.Stdout.WriteString("started\n")
	time.Sleep(time.Hour)
}

// A folder for temporary files whose path is too long for sockets is no obstacle.
func TestLongTemp(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Dirs: []string{plugintest.Dir(t, "echo")}, Temp: long, Memory: plugintest.Memory})
	defer h.Close()
	kit := ocm.NewKit()
	h.Attach(kit)
	(&place{host: h, kit: kit}).works(t)
	if left, err := os.ReadDir(long); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

// Whoever interrupts a command does not wait for plugins that do not say what they can do, and nothing is started any more.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := plugintest.Dir(t, "says-late")
	h := host.New(host.Options{Dirs: []string{dir}, Context: ctx})
	t.Cleanup(func() { _ = h.Close() })
	h.SetTimeouts(time.Hour)
	ended := make(chan error)
	go func() {
		_, err := h.Plugins()
		ended <- err
	}()
	until(t, "its start", func() bool { return len(processes(dir)) == 1 })
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "plugin says-late") {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it is waited for")
	}
	until(t, "its end", func() bool { return len(processes(dir)) == 0 })
}
