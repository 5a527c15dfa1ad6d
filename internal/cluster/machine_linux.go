// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	texttemplate "text/template"
)

// files are the configurations of the node's parts, as templates.
//
//go:embed machine
var files embed.FS

const (
	pods = "10.244.0.0/24"
	// runFolder is for sockets, whose paths must be short, and for what ends with the node. The world has a /run of its own.
	runFolder = "/run/node"
	readyPort = "8181"
	// initialPIDs is what the kernel calls the process identifiers of the machine itself.
	initialPIDs = "pid:[4026531836]"
)

// covered are folders that parts of the node write to whatever they are told: an empty one that ends with the node takes their place.
var covered = []string{"/var/lib", "/var/log"}

// tunables are settings of the whole machine that kubelet changes. It gets files of their values to change in their place.
var tunables = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}

// machine is a [Machine] that runs.
type machine struct {
	dir    string // of its files
	images string
	cgroup *cgroup
	mounts []string // that were made for it, in this order
	values map[string]any
}

// startMachine starts the parts of a node and waits until it is ready.
func (c *Cluster) startMachine(o *Machine) error {
	if err := o.check(c.address); err != nil {
		return err
	}
	m := &machine{dir: filepath.Join(c.dir, "node"), images: o.Images}
	if m.images == "" {
		m.images = filepath.Join(m.dir, "images")
	}
	if err := c.inWorld(m); err != nil {
		return err
	}
	c.machine = m // from here on something is to be taken away
	if err := m.furnish(); err != nil {
		return err
	}
	m.values = map[string]any{"Address": c.address, "Hosts": o.Hosts, "Sandbox": o.Sandbox, "PKI": c.pki(""), "Dir": m.dir, "Images": m.images,
		"Run": runFolder, "Cgroup": m.cgroup.name, "Pods": pods, "Plugins": plugins, "ReadyPort": readyPort}
	for _, step := range []func() error{
		func() error { return m.configure(o.Registries) }, c.identifyMachine, c.startContainerd, c.startKubelet, c.startProxy, c.startDNS,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, what := range []string{"create", "condition=Ready"} {
		if _, err := c.Run(ctx, "", "wait", "--for="+what, "--timeout=80s", "node/"+Node); err != nil {
			return err
		}
	}
	return nil
}

// inWorld refuses a node that would change the machine itself, or what is there already.
func (c *Cluster) inWorld(m *machine) error {
	if pids, err := os.Readlink("/proc/self/ns/pid"); err != nil || pids == initialPIDs || os.Geteuid() != 0 {
		return fmt.Errorf("%w: needs root, and a world of its own: start the program in one", errMachine)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(addresses, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == c.address
	}) {
		return fmt.Errorf("%w: no link of the world has the address %s", errMachine, c.address)
	}
	if _, err := os.Stat(runFolder); err == nil {
		return fmt.Errorf("%w: there is one in this world already, or one was that has left %s", errMachine, runFolder)
	}
	for _, dir := range []string{c.dir, c.bin, m.images} {
		for _, over := range covered {
			if within(dir, over) {
				return fmt.Errorf("%w: %s is hidden from it with %s; choose another folder", errMachine, dir, over)
			}
		}
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "runc", "nft", "mount", filepath.Join(plugins, "ptp")} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w; install containerd, runc, containernetworking-plugins and nftables", errMachine, err)
		}
	}
	return nil
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// furnish makes folders, mounts and control groups, after it took away what is left of an earlier node in the same folder. That
// one's mounts went with its world: what is removed here are its own files.
func (m *machine) furnish() (err error) {
	if err := m.unmount(); err != nil { // first: what is mounted there is not to be removed
		return err
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	for _, dir := range []string{runFolder, filepath.Join(runFolder, "tunables"), filepath.Join(m.dir, "plugins"), m.images} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range covered {
		if err := m.mount("tmpfs", dir, "tmpfs", 0); err != nil {
			return err
		}
	}
	for _, name := range tunables {
		setting, file := filepath.Join("/proc/sys", name), filepath.Join(runFolder, "tunables", filepath.Base(name))
		value, err := os.ReadFile(setting)
		if err == nil {
			err = os.WriteFile(file, value, 0o644)
		}
		if err == nil {
			err = m.mount(file, setting, "", syscall.MS_BIND)
		}
		if err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	m.cgroup, err = newCgroup()
	return err
}

func (m *machine) mount(what, where, kind string, flags uintptr) error {
	if err := syscall.Mount(what, where, kind, flags, ""); err != nil {
		return fmt.Errorf("%w: %s cannot be mounted: %w", errMachine, where, err)
	}
	m.mounts = append(m.mounts, where)
	return nil
}

// configure writes the files that parts of the node read.
func (m *machine) configure(registries map[string]string) error {
	for from, to := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "Corefile": "Corefile", "net.conflist": "cni/net.conflist",
	} {
		if err := m.write(from, to, m.values); err != nil {
			return err
		}
	}
	for name, at := range registries {
		if err := m.write("hosts.toml", filepath.Join("registries", name, "hosts.toml"), at); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) write(from, to string, values any) error {
	t, err := texttemplate.ParseFS(files, "machine/"+from)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return err
	}
	path := filepath.Join(m.dir, to)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}

// identifyMachine makes what the parts show to the API server, and kubelet to those who ask it.
func (c *Cluster) identifyMachine() error {
	for user, groups := range map[string][]string{"system:node:" + Node: {"system:nodes"}, "system:kube-proxy": nil, "coredns": nil} {
		if _, err := c.identify(user, groups...); err != nil {
			return err
		}
	}
	return c.writePair("kubelet", pkix.Name{CommonName: Node}, c.address.String(), Node)
}

// startContainerd starts it in the control group of the run, where what it starts is as well.
func (c *Cluster) startContainerd() error {
	path, err := exec.LookPath("containerd")
	if err != nil {
		return err
	}
	p, err := c.run("containerd", path, nil, "--config="+filepath.Join(c.machine.dir, "containerd.toml"))
	if err != nil {
		return err
	}
	c.parts = append(c.parts, p)
	if err := c.machine.cgroup.add(p.cmd.Process.Pid); err != nil {
		return err
	}
	return p.await(func() error {
		conn, err := net.Dial("unix", filepath.Join(runFolder, "containerd.sock"))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func (c *Cluster) startKubelet() error {
	p, err := c.part("kubelet", nil, "--config="+filepath.Join(c.machine.dir, "kubelet.yaml"), "--kubeconfig="+c.kubeconfig("system:node:"+Node),
		"--hostname-override="+Node, "--node-ip="+c.address.String(), "--root-dir="+filepath.Join(c.machine.dir, "kubelet"),
		"--cert-dir="+filepath.Join(c.machine.dir, "kubelet", "pki"))
	if err != nil {
		return err
	}
	return p.Await(http.DefaultClient, "http://127.0.0.1:10248/healthz")
}

func (c *Cluster) startProxy() error {
	// What the kernel remembers of connections is the machine's to bound.
	p, err := c.part("kube-proxy", nil, "--kubeconfig="+c.kubeconfig("system:kube-proxy"), "--proxy-mode=nftables", "--hostname-override="+Node,
		"--cluster-cidr="+pods, "--conntrack-max-per-core=0", "--metrics-bind-address=127.0.0.1:10249", "--healthz-bind-address=127.0.0.1:10256")
	if err != nil {
		return err
	}
	return p.Await(http.DefaultClient, "http://127.0.0.1:10249/healthz")
}

func (c *Cluster) startDNS() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	rights, err := files.ReadFile("machine/coredns.yaml")
	if err != nil {
		return err
	}
	if _, err := c.Run(ctx, string(rights), "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	p, err := c.part("coredns", nil, "-conf="+filepath.Join(c.machine.dir, "Corefile"))
	if err != nil {
		return err
	}
	return p.Await(http.DefaultClient, "http://127.0.0.1:"+readyPort+"/ready")
}

// stop takes away what the node has left, after its parts have ended: containers, mounts and control groups. It may have been
// started in part.
func (m *machine) stop() (err error) {
	if m == nil {
		return nil
	}
	if m.cgroup != nil {
		err = m.cgroup.remove()
	}
	return errors.Join(err, eventually(m.unmount), os.RemoveAll(runFolder))
}

// unmount takes away what was mounted for the node and by it, the last first. Some of it the kernel takes away by itself meanwhile.
func (m *machine) unmount() error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	left := slices.Clone(m.mounts)
	m.mounts = nil
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		if within(at, m.dir) || within(at, runFolder) || strings.HasPrefix(at, m.images+"/") {
			left = append(left, at)
		}
	}
	for _, at := range slices.Backward(left) {
		if rm := syscall.Unmount(at, syscall.MNT_DETACH); rm != nil && !errors.Is(rm, syscall.EINVAL) && !errors.Is(rm, syscall.ENOENT) {
			err = errors.Join(err, fmt.Errorf("%s stays mounted: %w", at, rm))
		}
	}
	return err
}
