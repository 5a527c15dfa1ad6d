// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// A real server: Sigstore's timestamp authority, built by "make sigstore-servers". It listens on a Unix socket, in a
// network of its own: it opens a port for metrics on every interface, which cannot be changed.
func TestSigstoreServer(t *testing.T) {
	t.Parallel()
	path, err := filepath.Abs("../../bin/timestamp-server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "bin/timestamp-server is not there, make sigstore-servers builds it")
	}
	dir, err := os.MkdirTemp("", "") // short: the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	startServer(t, path, "serve", "--timestamp-signer=memory", "--disable-ntp-monitoring", "--scheme=unix", "--socket-path="+socket, "--include-chain-in-response")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	env := &ocm.Env{HTTP: transport}
	chain := fetchChain(t, transport, socket)
	root := chain[len(chain)-1:]

	ts, err := timestamp.Request(t.Context(), env, "http://localhost/api/v1/timestamp", stamped())
	if err != nil {
		t.Fatal(err)
	}
	r, err := timestamp.Check(ts, stamped(), root)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Signer.Equal(chain[0]) || time.Since(r.Time).Abs() > time.Minute {
		t.Errorf("%s by %q, expected %q", r.Time, r.Signer.Subject, chain[0].Subject)
	}
	refused(t, ts, tsatest.New(t).Roots(), nil, "does not lead")
	other := stamped()
	other.Value = "00" + other.Value[2:]
	if _, err := timestamp.Check(ts, other, root); !errors.Is(err, ocm.ErrDigest) {
		t.Error(err)
	}
}

// startServer runs a program in a network namespace, until the test ends.
func startServer(t *testing.T, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		missing(t, "no network namespace for the server: "+err.Error())
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text)
		}
		log.Close()
	})
}

// fetchChain waits for the server and gets its certificates, the signer's first.
func fetchChain(t *testing.T, transport http.RoundTripper, socket string) (certs []*x509.Certificate) {
	t.Helper()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	var resp *http.Response
	var err error
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) { // until it listens
		if resp, err = client.Get("http://localhost/api/v1/timestamp/certchain"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens at %s: %v", socket, err)
		}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	if len(certs) < 2 {
		t.Fatalf("%d certificates", len(certs))
	}
	return certs
}
