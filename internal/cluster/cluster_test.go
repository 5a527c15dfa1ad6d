// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"ocm/internal/fixture"
)

func parse(t *testing.T, b []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("no certificate: %q", b)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificatesAreForOnePurpose(t *testing.T) {
	t.Parallel()
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parse(t, a.pem))
	user, err := a.issue(pkix.Name{CommonName: "jane", Organization: []string{"tenants", "readers"}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.issue(pkix.Name{CommonName: "server"}, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if s := parse(t, user.cert).Subject; s.CommonName != "jane" || len(s.Organization) != 2 {
		t.Errorf("expected jane of two groups, found %v", s)
	}
	for _, c := range []struct {
		pair
		usage x509.ExtKeyUsage
		good  bool
	}{
		{user, x509.ExtKeyUsageClientAuth, true}, {user, x509.ExtKeyUsageServerAuth, false},
		{server, x509.ExtKeyUsageServerAuth, true}, {server, x509.ExtKeyUsageClientAuth, false},
	} {
		_, err := parse(t, c.cert).Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}})
		if (err == nil) != c.good {
			t.Errorf("usage %v: expected %v, found %v", c.usage, c.good, err)
		}
	}
	if err := parse(t, server.cert).VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

func TestKubeconfigSaysWhoAndWhere(t *testing.T) {
	t.Parallel()
	c := &Cluster{dir: t.TempDir(), address: netip.MustParseAddr("127.0.0.1")}
	if err := os.Mkdir(filepath.Join(c.dir, "pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.makeIdentities(); err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig(t, "jane", "tenants"))
	if err != nil {
		t.Fatal(err)
	}
	if who := parse(t, cfg.CertData).Subject; cfg.Host != "https://"+c.apiAddr || who.CommonName != "jane" || who.Organization[0] != "tenants" {
		t.Errorf("expected jane of tenants at %s, found %v at %s", c.apiAddr, who, cfg.Host)
	}
	if info, err := os.Stat(c.AdminKubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("expected the administrator's file for the owner only, found %v, %v", info, err)
	}
}

// shell runs a shell script as a program beside a cluster that has none.
func shell(t *testing.T, text string, env ...string) *Process {
	t.Helper()
	return programs(t).Program(t, "/bin/sh", env, "-c", text)
}

func programs(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{dir: t.TempDir(), address: netip.MustParseAddr("127.0.0.1")}
	if err := os.Mkdir(filepath.Join(c.dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProgramsSeeNothingOfTheTestsEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_TEST", "x")
	p := shell(t, "env", "GIVEN=y")
	<-p.Ended()
	if log := p.Log(); strings.Contains(log, "SECRET_OF_THE_TEST") || !strings.Contains(log, "GIVEN=y\n") {
		t.Errorf("expected only what was given, found %s", log)
	}
}

func TestAwaitTellsWhyAProgramEnded(t *testing.T) {
	t.Parallel()
	addr := FreeAddress(t)
	p := shell(t, "echo flag unknown >&2; exit 1\n")
	if err := p.Await(http.DefaultClient, "http://"+addr); err == nil || !strings.Contains(err.Error(), "ended at once:\nflag unknown") {
		t.Errorf("expected what it wrote, found %v", err)
	}
}

func TestAddressesAreGivenOnce(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 300 { // of 12,000: without the claims two would be the same
		addr := FreeAddress(t)
		if given[addr] {
			t.Fatalf("%s is given to two", addr)
		}
		given[addr] = true
	}
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	t.Parallel()
	p := shell(t, "trap '' TERM\necho deaf\nwhile :; do sleep 1; done\n")
	Eventually(t, time.Minute, func() error {
		if p.Log() != "deaf\n" {
			return errors.New("not started yet")
		}
		return nil
	})
	p.Stop()
	select {
	case <-p.Ended():
	default:
		t.Error("expected that it has ended")
	}
	p.Stop() // once more does no harm
}

func TestLogIsBoundedAndWhole(t *testing.T) {
	t.Parallel()
	p := shell(t, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done\n")
	<-p.Ended()
	log := p.Log()
	if len(log) > logTail || !strings.HasPrefix(log, "line ") || !strings.HasSuffix(log, "line 1999\n") {
		t.Errorf("expected the last whole lines, found %d bytes: %.40q ...", len(log), log)
	}
}

func TestMissingProgramsAreAnError(t *testing.T) {
	t.Parallel()
	c := programs(t)
	c.bin = t.TempDir()
	if err := c.startEtcd(); !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "etcd") {
		t.Errorf("expected that etcd is not built, found %v", err)
	}
}

// verdict is a test that only notes how it ended.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper() {}
func (v *verdict) Skipf(format string, a ...any) {
	v.text = "skip " + fmt.Sprintf(format, a...)
	panic(v)
}
func (v *verdict) Fatalf(format string, a ...any) {
	v.text = "fail " + fmt.Sprintf(format, a...)
	panic(v)
}

// Missing binaries are never passed over in silence, and where they must be there they fail the test.
func TestNeedSkipsLoudlyOrFails(t *testing.T) {
	project := t.TempDir()
	if err := os.MkdirAll(filepath.Join(project, "internal", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(project, "go.mod"), []byte("module ocm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(project, "internal", "x"))
	for value, want := range map[string]string{"": "skip needs a cluster", "1": "skip SKIPPED ALTHOUGH", Must: "fail cluster: etcd is not built"} {
		t.Setenv(Variable, value)
		v := &verdict{TB: t}
		func() {
			defer func() { _ = recover() }() // its own way to end
			Need(v)
		}()
		if !strings.HasPrefix(v.text, want) {
			t.Errorf("%s=%q: expected %q, found %q", Variable, value, want, v.text)
		}
	}
	if err := os.MkdirAll(filepath.Join(project, "bin", "k8s"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if err := fixture.Program(filepath.Join(project, "bin", "k8s", name), nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(Variable, Must)
	v := &verdict{TB: t}
	if Need(v); v.text != "" {
		t.Errorf("expected that nothing is missing, found %q", v.text)
	}
}

// Everything listens on 127.0.0.1 only. It is looked up as the system tells it, whatever the flags say.
func TestPartsListenOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	c := Start(t, Options{Workloads: true})
	c.Kro(t)
	c.Flux(t)
	seen := 0
	for _, p := range append([]*Process{c.etcd, c.apiServer}, c.parts...) {
		for _, addr := range listening(t, p.cmd.Process.Pid) {
			seen++
			if !addr.IP.IsLoopback() {
				t.Errorf("%s listens on %s", p.name, addr)
			}
		}
	}
	if seen < 12 { // two of etcd, one of the API server and of kwok, two of each other, and the sources
		t.Errorf("expected to see at least a dozen sockets, found %d", seen)
	}
}

// listening tells the addresses on which a process listens.
func listening(t *testing.T, pid int) (list []*net.TCPAddr) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{}
	for _, fd := range fds {
		if to, err := os.Readlink(proc + "fd/" + fd.Name()); err == nil {
			own[to] = true
		}
	}
	for _, file := range []string{"net/tcp", "net/tcp6"} {
		table, err := os.ReadFile(proc + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !own["socket:["+f[9]+"]"] { // 0A is LISTEN
				continue
			}
			host, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, &net.TCPAddr{IP: address(t, host), Port: int(n)})
		}
	}
	return list
}

// address reads what /proc writes: hexadecimal, in words of four bytes, each the other way round.
func address(t *testing.T, s string) net.IP {
	t.Helper()
	ip := make(net.IP, 0, len(s)/2)
	for i := 0; i+8 <= len(s); i += 8 {
		w, err := strconv.ParseUint(s[i:i+8], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		ip = append(ip, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return ip
}
