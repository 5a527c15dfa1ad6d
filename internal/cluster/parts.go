// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

// admin is the user whom the parts that need everything use.
const admin = "test-admin"

// Node is the name of the node that kwok plays with [Options].Workloads. Pods that no node may take, say by a nodeSelector,
// stay pending: so a test gets a workload that never becomes ready.
const Node = "node-0"

const nodeManifest = `apiVersion: v1
kind: Node
metadata:
  name: ` + Node + `
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: ` + Node + `, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
status:
  allocatable: {cpu: "64", memory: 256Gi, pods: "10000"}
  capacity: {cpu: "64", memory: 256Gi, pods: "10000"}
`

func (c *Cluster) startEtcd() (err error) {
	client, peer, err := twoAddresses()
	if err != nil {
		return err
	}
	c.etcdURL = "http://" + client
	c.etcd, err = c.run("etcd", filepath.Join(c.bin, "etcd"), nil, "--data-dir="+filepath.Join(c.dir, "etcd"),
		"--listen-client-urls="+c.etcdURL, "--advertise-client-urls="+c.etcdURL,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer, "--initial-cluster=default=http://"+peer,
		"--unsafe-no-fsync", "--log-level=warn")
	if err != nil {
		return err
	}
	return c.etcd.Await(http.DefaultClient, c.etcdURL+"/health")
}

func (c *Cluster) startAPIServer() (err error) {
	_, port, err := net.SplitHostPort(c.apiAddr)
	if err != nil {
		return err
	}
	args := []string{"--etcd-servers=" + c.etcdURL, "--bind-address=" + c.address.String(), "--secure-port=" + port, "--advertise-address=" + c.address.String(),
		"--kubelet-preferred-address-types=InternalIP", "--kubelet-certificate-authority=" + c.pki("ca.crt"),
		"--kubelet-client-certificate=" + c.pki("client.crt"), "--kubelet-client-key=" + c.pki("client.key"),
		"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"), "--client-ca-file=" + c.pki("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki("sa.key"), "--service-account-signing-key-file=" + c.pki("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false"}
	if c.address.IsLoopback() { // nothing reaches the server by the service "kubernetes", and 127.0.0.1 must not be an endpoint
		args = append(args, "--endpoint-reconciler-type=none")
	}
	if c.apiServer, err = c.run("kube-apiserver", filepath.Join(c.bin, "kube-apiserver"), nil, args...); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return c.apiServer.Await(client, c.admin.Host+"/readyz")
}

// startWorkloads starts what makes pods of workloads and puts them on a node, and the node: a real one, or kwok.
func (c *Cluster) startWorkloads(o *Machine) error {
	manager, scheduler := c.kubeconfig("system:kube-controller-manager"), c.kubeconfig("system:kube-scheduler")
	_, err := c.part("kube-controller-manager", nil, "--kubeconfig="+manager, "--leader-elect=false",
		"--bind-address=127.0.0.1", "--secure-port=0", "--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.pki("sa.key"), "--root-ca-file="+c.pki("ca.crt"),
		"--cluster-signing-cert-file="+c.pki("ca.crt"), "--cluster-signing-key-file="+c.pki("ca.key"))
	if err != nil {
		return err
	}
	if _, err = c.part("kube-scheduler", nil, "--kubeconfig="+scheduler, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0"); err != nil {
		return err
	}
	if o != nil {
		return c.startMachine(o)
	}
	return c.startKwok()
}

// startKwok starts what says that pods run and have their volumes.
func (c *Cluster) startKwok() error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	kwok, err := c.part("kwok", nil, "--kubeconfig="+c.kubeconfig(admin), "--config="+filepath.Join(c.bin, "crds", "kwok", "stages.yaml"),
		"--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
		"--node-lease-duration-seconds=40", "--cidr=10.240.0.1/16", "--node-ip=10.0.0.1", "--server-address="+addr)
	if err != nil {
		return err
	}
	if err := kwok.Await(http.DefaultClient, "http://"+addr+"/healthz"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if _, err := c.Run(ctx, nodeManifest, "apply", "-f", "-", "-f", filepath.Join(c.bin, "crds", "kwok", "storage-class.yaml")); err != nil {
		return err
	}
	_, err = c.Run(ctx, "", "wait", "--for=condition=Ready", "--timeout=80s", "node/"+Node)
	return err
}

func (c *Cluster) startKro() error {
	if err := c.define("kro"); err != nil {
		return err
	}
	metrics, health, err := twoAddresses()
	if err != nil {
		return err
	}
	p, err := c.part("kro", nil, "--kubeconfig="+c.kubeconfig(admin), "--metrics-bind-address="+metrics,
		"--health-probe-bind-address="+health, "--graceful-shutdown-timeout=1s")
	if err != nil {
		return err
	}
	return p.Await(http.DefaultClient, "http://"+health+"/readyz")
}

// startFlux starts Flux' controllers. Sources are served to the other two by the source controller, on an address of its own.
func (c *Cluster) startFlux() error {
	if err := c.define("flux"); err != nil {
		return err
	}
	storage, err := freeAddress()
	if err != nil {
		return err
	}
	files := filepath.Join(c.dir, "sources")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return err
	}
	env := []string{"KUBECONFIG=" + c.kubeconfig(admin), "RUNTIME_NAMESPACE=flux-system"}
	for _, f := range []struct {
		name string
		args []string
	}{
		{"source-controller", []string{"--storage-path=" + files, "--storage-addr=" + storage, "--storage-adv-addr=" + storage}},
		{"helm-controller", []string{"--graceful-shutdown-timeout=1s"}},
		{"kustomize-controller", []string{"--no-remote-bases=true"}},
	} {
		metrics, health, err := twoAddresses()
		if err != nil {
			return err
		}
		p, err := c.part(f.name, env, append(f.args, "--watch-all-namespaces=true", "--events-addr=", "--metrics-addr="+metrics, "--health-addr="+health)...)
		if err != nil {
			return err
		}
		if err := p.Await(http.DefaultClient, "http://"+health+"/healthz"); err != nil {
			return err
		}
	}
	return nil
}

// define applies the custom resource definitions that were put beside the programs.
func (c *Cluster) define(whose string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	dir := filepath.Join(c.bin, "crds", whose)
	if _, err := c.Run(ctx, "", "apply", "--server-side", "-f", dir); err != nil {
		return err
	}
	_, err := c.Run(ctx, "", "wait", "--for=condition=Established", "--timeout=80s", "-f", dir)
	return err
}
