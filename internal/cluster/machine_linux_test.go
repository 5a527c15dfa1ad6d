// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ocm/internal/netns"
)

// nodeVariable lets tests start real nodes, as [Variable] does clusters.
const nodeVariable = "OCM_TEST_NODE"

// patience is for what the parts do in their own time, on a machine that does other things as well.
const patience = 2 * time.Minute

func needNode(t *testing.T) string {
	t.Helper()
	want := os.Getenv(nodeVariable)
	if want == "" {
		t.Skipf(`needs a real node, and %s is not set; run "make test-node"`, nodeVariable)
	}
	missing := ""
	bin, err := Binaries()
	if err != nil {
		missing = err.Error()
	}
	for _, path := range []string{filepath.Join(bin, "kubelet"), filepath.Join(bin, "kube-proxy"), filepath.Join(bin, "coredns"), filepath.Join(bin, "..", "crane"),
		"containerd", "runc", "nft", filepath.Join(plugins, "ptp")} {
		if _, err := exec.LookPath(path); err != nil {
			missing += path + " is missing; "
		}
	}
	if os.Geteuid() != 0 {
		missing += "needs root"
	}
	if missing != "" && want == Must {
		t.Fatalf("%s, and %s=%s", missing, nodeVariable, Must)
	} else if missing != "" {
		t.Skipf("SKIPPED ALTHOUGH %s IS SET: %s", nodeVariable, missing)
	}
	return bin
}

// site is a world with a registry in it, and perhaps a node.
type site struct {
	*netns.World
	t          *testing.T
	dir, bin   string
	kubeconfig string
	input      io.Closer // of the program that holds the cluster
	up         *exec.Cmd
	complaints bytes.Buffer
}

var siteAddress = netip.MustParseAddr("10.77.0.1")

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, bin: needNode(t), dir: t.TempDir()}
	program := filepath.Join(s.dir, "program")
	s.run("go", "build", "-ldflags=-s -w", "-o", program, "./testdata/hello")
	s.run("go", "build", "-o", filepath.Join(s.dir, "up"), "./up")
	s.image("hello", program)
	s.image("pause", program)
	s.enter()
	return s
}

// enter makes a world, with a registry in it that has the images of the test.
func (s *site) enter() {
	s.t.Helper()
	w, err := netns.New(netns.Options{Name: "target", Address: netip.PrefixFrom(siteAddress, 24), Hosts: map[string]netip.Addr{"registry": siteAddress}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.World = w
	s.t.Cleanup(func() {
		if err := w.Close(); err != nil {
			s.t.Error(err)
		}
		s.sweep() // what a failed test has left
	})
	if err := w.Command(context.WithoutCancel(s.t.Context()), filepath.Join(s.bin, "..", "crane"), "registry", "serve", "--address=10.77.0.1:5000", "--disk="+s.sub("registry")).Start(); err != nil {
		s.t.Fatal(err)
	}
	s.push("hello")
	s.push("pause")
}

// run runs a program outside.
func (s *site) run(name string, args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
}

func (s *site) sub(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// image makes an image of a program.
func (s *site) image(name, program string) {
	s.t.Helper()
	archive := filepath.Join(s.dir, name+".tar")
	s.run("go", "run", "ocm/internal/image", "-out", archive, "-name", name, "linux/"+runtime.GOARCH+"="+program)
	unpack(s.t, archive, s.sub("layout-"+name))
}

// push puts an image into the registry.
func (s *site) push(name string) {
	s.t.Helper()
	Eventually(s.t, patience, func() error { // the registry may not listen yet
		out, err := s.Command(s.t.Context(), filepath.Join(s.bin, "..", "crane"), "push", "--insecure", "--index", s.sub("layout-"+name), "registry:5000/test/"+name+":1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a cluster with a node, and waits until that is ready.
func (s *site) start(args ...string) {
	s.t.Helper()
	program := filepath.Join(s.dir, "up")
	s.complaints.Reset()
	s.up = s.Command(context.WithoutCancel(s.t.Context()), program, append([]string{"-dir=" + s.sub("cluster"), "-address=10.77.0.1",
		"-sandbox=registry:5000/test/pause:1", "-registry=registry:5000=http://10.77.0.1:5000", "-host=registry=10.77.0.1"}, args...)...)
	s.up.Stderr = &s.complaints
	input, err := s.up.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	output, err := s.up.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.input = input
	if err := s.up.Start(); err != nil {
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		_ = s.up.Wait() // the complaint says more
		s.t.Fatalf("no node: %s", s.complaints.String())
	}
	s.kubeconfig = strings.TrimSpace(line)
}

// stop stops the cluster; the world stays.
func (s *site) stop() {
	s.t.Helper()
	s.input.Close()
	if err := s.up.Wait(); err != nil || s.complaints.Len() > 0 {
		s.t.Errorf("expected that it stops in silence, found %v: %s", err, s.complaints.String())
	}
}

func (s *site) try(stdin string, args ...string) (string, error) {
	cmd := s.Command(s.t.Context(), filepath.Join(s.bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (s *site) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.try("", args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) sh(text string) string {
	s.t.Helper()
	out, err := s.Command(s.t.Context(), "sh", "-c", text).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", text, err, out)
	}
	return string(out)
}

// deploy applies the workload of the test and waits until it is ready.
func (s *site) deploy() {
	s.t.Helper()
	data := s.sub("data")
	if err := os.Chown(data, 1001, 1001); err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/node.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	Eventually(s.t, patience, func() error { // service accounts come in their own time
		_, err := s.try(strings.ReplaceAll(string(text), "DATA", data), "apply", "--namespace=default", "-f", "-")
		return err
	})
	s.ready("hello-0", "other")
}

func (s *site) ready(pods ...string) {
	s.t.Helper()
	for _, pod := range pods {
		s.kubectl("wait", "--for=create", "--timeout=60s", "pod/"+pod)
		if _, err := s.try("", "wait", "--for=condition=Ready", "--timeout=90s", "pod/"+pod); err != nil {
			s.t.Fatalf("%v\n%s", err, s.kubectl("describe", "pod", pod))
		}
	}
}

// settings are those of the machine that a node would change.
func settings(t *testing.T) (list []string) {
	t.Helper()
	for _, name := range append([]string{"net/ipv4/ip_forward"}, tunables...) {
		b, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, name+"="+strings.TrimSpace(string(b)))
	}
	return list
}

// groups are the control groups of the node.
func (s *site) groups() []string {
	s.t.Helper()
	config, err := os.ReadFile(filepath.Join(s.dir, "cluster", "node", "kubelet.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	name := regexp.MustCompile("cgroupRoot: /(" + cgroupPrefix + "[a-z0-9]+)").FindSubmatch(config)
	if name == nil {
		s.t.Fatalf("expected a control group, found %s", config)
	}
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + string(name[1]))
	if one, _ := filepath.Glob("/sys/fs/cgroup/" + string(name[1])); len(one) > 0 {
		found = append(found, one...)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// processesIn are those of the machine that have to do with a folder.
func processesIn(t *testing.T, dir string) (list []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(dir)) {
			list = append(list, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return list
}

// leftNothing looks at the machine, where others may be at work, for what was of this node.
func (s *site) leftNothing(before []string) {
	s.t.Helper()
	if after := settings(s.t); !slices.Equal(before, after) {
		s.t.Errorf("settings: expected what was there before, %q, found %q", before, after)
	}
	if left := s.groups(); len(left) > 0 {
		s.t.Errorf("expected no control group, found %q", left)
	}
	if list := processesIn(s.t, s.dir); len(list) > 0 {
		s.t.Errorf("expected no process, found %q", list)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || bytes.Contains(mounts, []byte(s.dir)) {
		s.t.Errorf("expected no mount, found %v\n%s", err, mounts)
	}
}

// One node does what the delivery needs of one, and leaves nothing.
func TestNode(t *testing.T) {
	t.Parallel()
	before := settings(t)
	s := newSite(t)
	small := s.sub("small")
	s.sh("mount -t tmpfs -o size=48m small " + small)
	mounts := s.mounts()
	start := time.Now()
	s.start("-images=" + small)
	t.Logf("node ready after %v", time.Since(start).Round(100*time.Millisecond))
	start = time.Now()
	s.deploy()
	t.Logf("pods ready after %v more", time.Since(start).Round(100*time.Millisecond))
	t.Logf("memory: %d MiB", s.memory())

	s.answers("http://hello/one", "one")
	s.answers("http://hello.default.svc.cluster.local", "one")
	if got := s.kubectl("exec", "other", "--", "/hello", "get", "http://registry:5000/v2/"); got != "" { // 200, and nothing in it
		t.Errorf("registry from a pod: found %q", got)
	}
	for url, want := range map[string]string{"http://example.com": "no such host", "https://kubernetes.default/healthz": "unknown authority"} {
		if _, err := s.try("", "exec", "other", "--", "/hello", "get", url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected %q, found %v", url, want, err)
		}
	}
	if got := s.kubectl("logs", "other"); !strings.Contains(got, "hello listens") {
		t.Errorf("expected what the pod wrote, found %q", got)
	}
	s.forwards("one")
	s.kubectl("delete", "pod", "hello-0")
	s.ready("hello-0")
	s.answers("http://hello", "one") // as before
	s.fill()
	s.answers("http://hello/two", "two")

	start = time.Now()
	s.stop()
	t.Logf("stopped after %v", time.Since(start).Round(100*time.Millisecond))
	if got := s.mounts(); got != mounts {
		t.Errorf("mounts in the world: expected\n%s, found\n%s", mounts, got)
	}
	if left := s.sh("ip -o link | wc -l"); left != "3\n" {
		t.Errorf("expected loopback and a pair, found %s", left)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.leftNothing(before)
}

// mounts are those that are of the world, or could be of the node.
func (s *site) mounts() string {
	s.t.Helper()
	return s.sh("awk '$2 ~ \"^(" + s.dir + "|/run|/proc|/var/l|/etc)\" {print $2, $3}' /proc/self/mounts")
}

// answer is what the program says when it has kept something, and runs as it should.
func answer(kept string) string { return fmt.Sprintf("uid 1001, root read-only true, kept %q\n", kept) }

// answers asks from the other pod, until it hears what it expects: a service follows its pods a moment later.
func (s *site) answers(url, kept string) {
	s.t.Helper()
	Eventually(s.t, patience, func() error {
		got, err := s.try("", "exec", "other", "--", "/hello", "get", url)
		if want := answer(kept); err == nil && got != want {
			err = fmt.Errorf("%s: expected %q, found %q", url, want, got)
		}
		return err
	})
}

// fill asks for an image that is larger than the disk. The node says so, and goes on with what it has.
func (s *site) fill() {
	s.t.Helper()
	program := filepath.Join(s.dir, "large")
	b := make([]byte, 64<<20)
	_, _ = rand.Read(b) // never fails
	if err := os.WriteFile(program, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.image("large", program)
	s.push("large")
	s.kubectl("run", "large", "--image=registry:5000/test/large:1", "--restart=Never")
	Eventually(s.t, patience, func() error {
		got := s.kubectl("get", "events", "--field-selector=involvedObject.name=large,reason=Failed", "--output=jsonpath={.items[*].message}")
		if !strings.Contains(got, "no space left on device") {
			return fmt.Errorf("expected that there is no space, found %q", got)
		}
		return nil
	})
	s.kubectl("delete", "pod", "large", "--wait=false")
	if got := s.kubectl("get", "node", Node, `--output=jsonpath={.status.conditions[?(@.status=="True")].type}`); got != "Ready" {
		s.t.Errorf("expected that the node is ready and under no pressure, found %q", got)
	}
}

// forwards forwards a port to the service, from within the world.
func (s *site) forwards(kept string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	cmd := s.Command(ctx, filepath.Join(s.bin, "kubectl"), "port-forward", "service/hello", "8085:80")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "Forwarding") {
		s.t.Fatalf("port-forward: %q, %v", line, err)
	}
	if got := s.sh(filepath.Join(s.dir, "program") + " get http://127.0.0.1:8085/"); got != answer(kept) {
		s.t.Errorf("expected %q through the forwarded port, found %q", answer(kept), got)
	}
	cancel()
	_ = cmd.Wait() // killed
}

// memory is what all processes of the world hold, in MiB: what they share is counted in parts.
func (s *site) memory() (sum int) {
	s.t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^Pss: +(\d+) kB`).FindAllStringSubmatch(s.sh("cat /proc/[0-9]*/smaps_rollup 2>/dev/null || true"), -1) {
		var n int
		fmt.Sscan(m[1], &n)
		sum += n
	}
	return sum >> 10
}

// Whoever runs a node may be killed: the system takes all of it away but the control groups, and the next start those, and what
// is in its folder.
func TestNodeAfterAKilledOne(t *testing.T) {
	t.Parallel()
	before := settings(t)
	s := newSite(t)
	s.start()
	s.deploy()
	s.answers("http://hello/one", "one")
	if err := s.Close(); err != nil { // the kernel kills all, containers and shims too
		t.Error(err)
	}
	_ = s.up.Wait() // killed
	if list := processesIn(t, s.dir); len(list) > 0 {
		t.Errorf("expected no process, found %q", list)
	}
	killed := s.groups()
	if len(killed) == 0 {
		t.Error("expected that control groups are left, as nobody was there to take them away")
	}

	s.enter()
	s.start()
	for _, dir := range killed {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("expected that %s is gone, found %v", dir, err)
		}
	}
	if got := s.kubectl("get", "pods", "--all-namespaces", "--output=name"); got != "" {
		t.Errorf("expected a new cluster, found %q", got)
	}
	s.deploy()
	s.answers("http://hello", "one") // whose data are not the cluster's
	s.stop()
	s.start() // in the same world
	s.stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.leftNothing(before)
}

// sweep does what the next start does first.
func (s *site) sweep() {
	s.t.Helper()
	g, err := newCgroup()
	if err == nil {
		err = g.remove()
	}
	if err != nil {
		s.t.Error(err)
	}
}
