// SPDX-License-Identifier: Apache-2.0

// Package peer starts servers of other people, for tests that compare with them. It is never part of a program.
package peer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Address is a host:port for a server that cannot choose its port and say which. A port of 127.0.0.1 that was free a moment ago
// is somebody else's when the server begins: tests of all packages take ports there, at the same time. Linux answers all of
// 127.0.0.0/8, so that there each server has an address of its own.
func Address() (string, error) {
	host := "127.0.0.1"
	if runtime.GOOS == "linux" {
		host = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		syscall.ForkLock.RLock() // a process that starts meanwhile would listen too, until it has begun its own work
		defer syscall.ForkLock.RUnlock()
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Start starts a server and waits until it answers at all.
func Start(cmd *exec.Cmd, url string) (stop func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	dead := make(chan struct{})
	go func() { _ = cmd.Wait(); close(dead) }() // says that it was killed
	stop = func() { _ = cmd.Process.Kill(); <-dead }
	for range 600 {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return stop, nil
		}
		select {
		case <-dead:
			return nil, fmt.Errorf("%s ended at once", cmd.Path)
		case <-time.After(50 * time.Millisecond): // there is no other way to learn that it listens
		}
	}
	stop()
	return nil, fmt.Errorf("%s does not answer", cmd.Path)
}

// DockerRegistry is the host:port of an empty registry of the distribution project, version 2, which has no referrers API; more is
// added to its configuration. The test is skipped where it is not installed.
func DockerRegistry(t testing.TB, more string) string {
	t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not on PATH")
	}
	addr, err := Address()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n%s", filepath.Join(dir, "data"), addr, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, err := Start(exec.Command(bin, "serve", file), "http://"+addr+"/v2/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return addr
}
