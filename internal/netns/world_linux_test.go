// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// world makes one, or skips the test where the system lets this user make none, or lacks the tools for it. It never does so where
// all tests must run.
func world(t *testing.T, o Options) *World {
	t.Helper()
	w, err := New(o)
	if os.Getenv("CI") != "true" && (errors.Is(err, os.ErrPermission) || errors.Is(err, exec.ErrNotFound)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func sh(t *testing.T, w *World, text string) string {
	t.Helper()
	cmd := w.Command(t.Context(), "sh", "-c", text)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", text, err, out)
	}
	return string(out)
}

func TestWorldIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	hidden := t.TempDir()
	if err := os.WriteFile(filepath.Join(hidden, "key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := world(t, Options{
		Name: "target", Address: netip.MustParsePrefix("10.77.0.1/24"), Hide: []string{hidden},
		Hosts: map[string]netip.Addr{"registry": netip.MustParseAddr("10.77.0.1")},
	})
	for text, want := range map[string]string{
		"hostname":                               "target\n",
		"id -u":                                  "0\n",
		"cat /etc/hosts":                         "127.0.0.1 localhost\n10.77.0.1 target\n10.77.0.1 registry\n",
		"cat /etc/resolv.conf":                   "",
		"ls -A " + hidden:                        "",
		"touch " + hidden + "/x 2>&1 || echo no": fmt.Sprintf("touch: cannot touch '%s/x': Read-only file system\nno\n", hidden),
		"ls -d /run/world /run/user 2>/dev/null || true":    "/run/world\n",
		"ip -4 -o address show dev eth0 | awk '{print $4}'": "10.77.0.1/24\n",
		"readlink /proc/1/exe | sed 's/.*bash/bash/'":       "bash\n",
	} {
		if got := sh(t, w, text); got != want {
			t.Errorf("%s: expected %q, found %q", text, want, got)
		}
	}
	if _, err := os.Stat(filepath.Join(hidden, "key")); err != nil {
		t.Errorf("expected that only the world does not see it, found %v", err)
	}
}

func TestCommandsRunWhereTheyAreTold(t *testing.T) {
	t.Parallel()
	w := world(t, Options{Name: "a"})
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.Command(t.Context(), "sh", "-c", `pwd; echo "$X $1"; cat; exit 7`, "sh", "a b")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, []string{"PATH=" + os.Getenv("PATH"), "X=y"}, strings.NewReader("input\n")
	out, err := cmd.Output()
	if got, want := string(out), dir+"\ny a b\ninput\n"; got != want || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("expected %q and the code 7, found %q and %v", want, got, err)
	}
}

// Neither an address of the machine, nor a socket in its network, nor one in another world leads out.
func TestWorldsReachNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := world(t, Options{Name: "a", Address: netip.MustParsePrefix("10.77.0.1/24")})
	b := world(t, Options{Name: "b", Address: netip.MustParsePrefix("10.77.0.2/24")})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial := func(host string) error { // by what bash does for /dev/tcp
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return a.Command(ctx, "bash", "-c", "exec 3<>/dev/tcp/"+host+"/"+port).Run()
	}
	for _, host := range []string{"127.0.0.1", "10.77.0.2"} {
		if err := dial(host); err == nil || err.Error() != "exit status 1" {
			t.Errorf("expected that %s:%s is not reached, found %v", host, port, err)
		}
	}
	inside := a.Command(t.Context(), "bash", "-c", "exec 3<>/dev/tcp/10.77.0.1/"+port)
	var complaint strings.Builder
	inside.Stderr = &complaint
	if err := inside.Run(); err == nil || !strings.Contains(complaint.String(), "refused") { // its own address answers, that nobody listens
		t.Errorf("expected that it is refused, found %v: %s", err, complaint.String())
	}
	if got := sh(t, b, "ip -o link | wc -l"); got != "3\n" {
		t.Errorf("expected loopback and a pair, found %s links", got)
	}
}

func TestCommandsShareMounts(t *testing.T) {
	t.Parallel()
	w := world(t, Options{Name: "a"})
	dir := t.TempDir()
	sh(t, w, "mount -t tmpfs x "+dir+" && touch "+dir+"/here")
	if got := sh(t, w, "ls "+dir); got != "here\n" {
		t.Errorf("expected what the command before has mounted, found %q", got)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("expected nothing outside, found %v, %v", list, err)
	}
}

// ended waits until a process is no more.
func ended(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // nobody else tells
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
	}
	t.Fatalf("process %d is still there", pid)
}

// outside finds a process, by the one argument that it was started with in a world.
func outside(t *testing.T, mark string) (pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // until it was started
		all, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range all {
			if b, err := os.ReadFile(file); err == nil && string(b) == "sleep\x00"+mark+"\x00" {
				if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatal("it did not start")
	return 0
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	w := world(t, Options{Name: "a"})
	mark := fmt.Sprintf("%d.1", 1000000+os.Getpid())
	sh(t, w, "setsid sleep "+mark+" >/dev/null 2>&1 </dev/null &")
	pid := outside(t, mark)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("expected that it has ended with the world, found %v", err)
	}
	if err := w.Command(t.Context(), "true").Run(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("expected that the world is closed, found %v", err)
	}
}

func TestEndOfContextEndsCommands(t *testing.T) {
	t.Parallel()
	w := world(t, Options{Name: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	mark := fmt.Sprintf("%d.2", 1000000+os.Getpid())
	cmd := w.Command(ctx, "sh", "-c", "sleep "+mark+"; true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := outside(t, mark)
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Errorf("expected that it was ended, found %v", err)
	}
	ended(t, pid)
}

// Whoever makes a world may die without a word.
func TestWorldEndsWithItsMaker(t *testing.T) {
	const variable = "NETNS_TEST_MARK"
	if mark := os.Getenv(variable); mark != "" { // the one who makes it
		w := world(t, Options{Name: "a"})
		sh(t, w, "setsid sleep "+mark+" >/dev/null 2>&1 </dev/null &")
		time.Sleep(time.Hour)
	}
	t.Parallel()
	world(t, Options{Name: "a"}) // or the test is skipped
	mark := fmt.Sprintf("%d.3", 1000000+os.Getpid())
	maker := exec.Command(os.Args[0], "-test.run=^TestWorldEndsWithItsMaker$")
	maker.Env = append(os.Environ(), variable+"="+mark)
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	pid := outside(t, mark)
	if err := maker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = maker.Wait() // killed
	ended(t, pid)
}

// Processes whose parents have ended are collected by the first one, or the world would fill up with them.
func TestOrphansAreCollected(t *testing.T) {
	t.Parallel()
	w := world(t, Options{Name: "a"})
	sh(t, w, "for i in 1 2 3 4 5; do (setsid true &) ; done >/dev/null 2>&1")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // they end in their own time
		left := sh(t, w, `cat /proc/[0-9]*/stat | grep -c ") Z" || true`)
		if left == "0\n" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s processes have ended and were not collected", left)
		}
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"is not called":         {Name: "a b"},
		"no name of a host":     {Name: "a", Hosts: map[string]netip.Addr{"x\n1.2.3.4 y": {}}},
		"has no address":        {Name: "a", Hosts: map[string]netip.Addr{"x": {}}},
		"expected the absolute": {Name: "a", Hide: []string{file}},
		"no such file":          {Name: "a", Hide: []string{"/does/not/exist"}},
		"expected an IPv4":      {Name: "a", Address: netip.MustParsePrefix("fd00::1/64")},
	} {
		if w, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q, found %v, %v", want, w, err)
		}
	}
}
