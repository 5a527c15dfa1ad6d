// SPDX-License-Identifier: Apache-2.0

// Package cluster starts a real Kubernetes control plane for tests: etcd and kube-apiserver always; where asked for, the
// controller manager, the scheduler and kwok, which plays the kubelet of one node; kro and Flux as consumers. All of them are
// programs of other people, built by "make k8s-binaries", run as child processes, and listen on 127.0.0.1 only. In the place of
// kwok there can be a real node, which runs containers: see [Machine]. The package is never part of what is shipped.
//
// Tests need OCM_TEST_K8S in the environment: without it they are skipped, so that "go test ./..." starts no cluster. With the
// value "must" they fail where binaries are missing, with any other they are skipped.
package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Variable is the environment variable that lets tests start clusters; see the package.
const Variable = "OCM_TEST_K8S"

// Must is the value of [Variable] under which missing binaries are a failure.
const Must = "must"

// ErrNotBuilt says that a program is not in bin/k8s of the project.
var ErrNotBuilt = errors.New(`is not built; run "make k8s-binaries"`)

// Options tell what runs beside etcd and kube-apiserver.
type Options struct {
	Workloads bool       // controller manager, scheduler, and kwok with one node: pods become ready and claims are bound, and nothing runs
	Node      *Machine   // a real node in the place of kwok's, with the controller manager and the scheduler
	Address   netip.Addr // where the API server listens; default: 127.0.0.1, where pods of a real node do not reach it
}

// Cluster is a running control plane. Its methods may be called by many goroutines at a time.
type Cluster struct {
	dir   string // of everything that it writes
	bin   string // where the programs are
	ca    *authority
	admin *rest.Config

	address          netip.Addr
	machine          *machine // or nil
	etcd, apiServer  *Process
	apiAddr, etcdURL string

	mu        sync.Mutex
	parts     []*Process // beside the two servers, in the order of their start
	consumers map[string]error
	serial    int
}

// Start starts a cluster for one test, and stops it when that ends. With -v, what the parts wrote is in the log of a failed test.
// Packages with more tests than one use [Shared].
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	Need(t)
	c, err := New(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	t.Cleanup(func() { c.tell(t) })
	return c
}

// New starts a cluster with its files in dir, which must exist; of one that was there it takes the data away. What has been started
// is stopped again upon an error, which ends with what the failed part wrote.
func New(dir string, o Options) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	bin, err := Binaries()
	if err != nil {
		return nil, err
	}
	if !o.Address.IsValid() {
		o.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	c := &Cluster{dir: dir, bin: bin, address: o.Address, consumers: map[string]error{}}
	if err := c.start(o); err != nil {
		c.Stop()
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return c, nil
}

func (c *Cluster) start(o Options) error {
	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		return err
	}
	for _, sub := range []string{"log", "tmp", "pki", "etcd"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if err := c.makeIdentities(); err != nil {
		return err
	}
	if err := c.startEtcd(); err != nil {
		return err
	}
	if err := c.startAPIServer(); err != nil {
		return err
	}
	if o.Workloads || o.Node != nil {
		return c.startWorkloads(o.Node)
	}
	return nil
}

// once starts a consumer unless it was already.
func (c *Cluster) once(name string, start func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err, done := c.consumers[name]; done {
		return err
	}
	err := start()
	c.consumers[name] = err
	return err
}

// Kro starts kro, with its definitions, unless it runs.
func (c *Cluster) Kro(t testing.TB) {
	t.Helper()
	if err := c.once("kro", c.startKro); err != nil {
		t.Fatal(err)
	}
}

// Flux starts source-, helm- and kustomize-controller, with their definitions, unless they run.
func (c *Cluster) Flux(t testing.TB) {
	t.Helper()
	if err := c.once("flux", c.startFlux); err != nil {
		t.Fatal(err)
	}
}

// Stop ends all parts: those that watch first, because a server waits for its watchers up to a minute. Of a real node everything
// goes that is not in the folder of the cluster.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop(c.parts...)
	if err := c.machine.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster: something is left:", err)
	}
	stop(c.apiServer)
	stop(c.etcd)
	c.parts, c.machine, c.apiServer, c.etcd = nil, nil, nil, nil
}

// StopAPIServer ends the API server; etcd and all other parts run on.
func (c *Cluster) StopAPIServer(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop(c.apiServer)
	c.apiServer = nil
}

// StartAPIServer starts the API server again, at the same address, and waits until it is ready.
func (c *Cluster) StartAPIServer(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.startAPIServer(); err != nil {
		t.Fatal(err)
	}
}

// RestartAPIServer stops and starts it.
func (c *Cluster) RestartAPIServer(t testing.TB) {
	t.Helper()
	c.StopAPIServer(t)
	c.StartAPIServer(t)
}

// Binaries is the folder of the programs: bin/k8s of the module that the working directory is in. The error is [ErrNotBuilt]
// if one that every cluster needs is missing.
func Binaries() (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if mod, err := os.ReadFile(filepath.Join(root, "go.mod")); err == nil && strings.HasPrefix(string(mod), "module ocm\n") {
			break
		}
		if root == filepath.Dir(root) {
			return "", errors.New("cluster: the working directory is not in the project")
		}
		root = filepath.Dir(root)
	}
	bin := filepath.Join(root, "bin", "k8s")
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("cluster: %s %w", name, ErrNotBuilt)
		}
	}
	return bin, nil
}

// Need ends a test that must not start a cluster, because [Variable] is not set, or cannot, because programs are not built: it is
// skipped then, or fails if the variable says [Must].
func Need(t testing.TB) {
	t.Helper()
	want := os.Getenv(Variable)
	if want == "" {
		t.Skipf(`needs a cluster, and %s is not set; run "make test-k8s"`, Variable)
	}
	if _, err := Binaries(); err != nil && want == Must {
		t.Fatalf("%v, and %s=%s", err, Variable, Must)
	} else if err != nil {
		t.Skipf("SKIPPED ALTHOUGH %s IS SET: %v", Variable, err)
	}
}

// Shared is one cluster for all tests of a package. It starts when the first of them asks for it:
//
//	var shared = cluster.Shared{Options: cluster.Options{Workloads: true}}
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
//
//	func TestSomething(t *testing.T) {
//		c := shared.Get(t)
//		namespace := c.Namespace(t)
//
// Tests that stop the API server want a cluster of their own, by [Start].
type Shared struct {
	Options Options

	once    sync.Once
	cluster *Cluster
	err     error
	dir     string
}

// Get is the cluster. With -v, what its parts wrote is in the log of a failed test.
func (s *Shared) Get(t testing.TB) *Cluster {
	t.Helper()
	Need(t)
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "cluster"); s.err == nil {
			s.cluster, s.err = New(s.dir, s.Options)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	t.Cleanup(func() { s.cluster.tell(t) })
	return s.cluster
}

// Run runs the tests and stops the cluster afterwards. The result is for [os.Exit].
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.cluster != nil {
		s.cluster.Stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
	return code
}
