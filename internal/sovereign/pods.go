// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/internal/cluster"
)

// Where nothing but kwok is the node, no pod runs. Controllers have to, or nothing would happen: so theirs are taken from the registry, by
// the digest that the pod says, and run as processes beside the cluster: with the arguments, the environment, the user, the files and the
// token of the pod, and nothing else. They share one network, so that some addresses have to differ.

// controllers are the namespaces whose pods run.
var controllers = []string{"ocm-k8s-toolkit-system", "kro", "flux-system"}

// instead are arguments that come after those of a pod, by the name of its container's image.
var instead = map[string][]string{
	"source-controller": {"--storage-adv-addr=127.0.0.1:9090"},
	"helm-controller":   {"--metrics-addr=127.0.0.1:18080", "--health-addr=127.0.0.1:19440"},
}

const (
	podsEvery    = 500 * time.Millisecond // how often the cluster is asked for pods
	pullTimeout  = time.Minute            // for one image from the registry
	restartAfter = time.Second
)

// pod is what of a pod is needed to run its container.
type pod struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
		Deletion  string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Node            string `json:"nodeName"`
		ServiceAccount  string `json:"serviceAccountName"`
		SecurityContext struct {
			User int `json:"runAsUser"`
		} `json:"securityContext"`
		Containers []container `json:"containers"`
	} `json:"spec"`
}

type container struct {
	Image string   `json:"image"`
	Args  []string `json:"args"`
	Env   []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		From  struct {
			Field struct {
				Path string `json:"fieldPath"`
			} `json:"fieldRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	Mounts []struct {
		Path     string `json:"mountPath"`
		ReadOnly bool   `json:"readOnly"`
	} `json:"volumeMounts"`
}

// pods runs the pods of controllers.
type pods struct {
	cluster *cluster.Cluster
	dir     string // of their files
	crane   string
	running map[string]context.CancelFunc // by UID
}

// play runs the pods of controllers until the context ends.
func (p *pods) play(ctx context.Context) {
	p.running = map[string]context.CancelFunc{}
	for ctx.Err() == nil {
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "pods:", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(podsEvery):
		}
	}
}

// look starts pods that are new, and ends those that are gone.
func (p *pods) look(ctx context.Context) error {
	text, err := p.cluster.Run(ctx, "", "get", "pods", "-A", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Items []pod `json:"items"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, pod := range list.Items {
		uid := pod.Metadata.UID
		if pod.Metadata.Deletion != "" || pod.Spec.Node == "" || !slices.Contains(controllers, pod.Metadata.Namespace) {
			continue
		}
		there[uid] = true
		if p.running[uid] != nil {
			continue
		}
		inner, cancel := context.WithCancel(ctx)
		p.running[uid] = cancel
		go p.keep(inner, pod)
	}
	for uid, cancel := range p.running {
		if !there[uid] {
			cancel()
			delete(p.running, uid)
		}
	}
	return nil
}

// keep runs a pod, and again when it ends, until the context does.
func (p *pods) keep(ctx context.Context, pod pod) {
	for ctx.Err() == nil {
		err := p.run(ctx, pod)
		fmt.Fprintf(os.Stderr, "pods: %s/%s ended: %v\n", pod.Metadata.Namespace, pod.Metadata.Name, err)
		select {
		case <-ctx.Done():
		case <-time.After(restartAfter):
		}
	}
}

// run runs the container of a pod, in a folder that is its root.
func (p *pods) run(ctx context.Context, pod pod) error {
	if len(pod.Spec.Containers) != 1 || pod.Spec.SecurityContext.User == 0 {
		return errors.New("expected one container, and a user who is not root")
	}
	c := pod.Spec.Containers[0]
	root := filepath.Join(p.dir, pod.Metadata.UID)
	entrypoint, err := p.unpack(ctx, c.Image, root)
	if err != nil {
		return err
	}
	user := pod.Spec.SecurityContext.User
	if err := p.furnish(ctx, pod, root, user); err != nil {
		return err
	}
	env := p.environment(pod)
	expand := func(s string) string {
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			s = strings.ReplaceAll(s, "$("+name+")", value)
		}
		return s
	}
	args := slices.Clone(entrypoint[1:])
	for _, a := range c.Args {
		args = append(args, expand(a))
	}
	for image, more := range instead {
		if strings.HasSuffix(entrypoint[0], image) {
			args = append(args, more...)
		}
	}
	log, err := os.OpenFile(filepath.Join(p.dir, pod.Metadata.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, entrypoint[0], args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}, Pdeathsig: syscall.SIGKILL} //nolint:gosec // small numbers
	return cmd.Run()
}

// unpack takes an image from its registry into a folder, unless it is there, and returns the command that it begins with.
func (p *pods) unpack(ctx context.Context, image, root string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	var config ociv1.Image
	text, err := exec.CommandContext(ctx, p.crane, "config", "--insecure", image).Output()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", image, err)
	}
	if err := json.Unmarshal(text, &config); err != nil || len(config.Config.Entrypoint) == 0 {
		return nil, fmt.Errorf("image %s: no entrypoint (%w)", image, err)
	}
	if _, err := os.Stat(root); err == nil {
		return config.Config.Entrypoint, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil { //nolint:gosec // read by the user of the pod
		return nil, err
	}
	script := `"$0" export --insecure "$1" - | tar x -C "$2"`
	if out, err := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script, p.crane, image, root).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: %w: %s", image, err, out), os.RemoveAll(root))
	}
	return config.Config.Entrypoint, nil
}

// furnish makes what a pod finds in its root beside the image: its account, its empty folders, names of hosts, and /proc.
func (p *pods) furnish(ctx context.Context, pod pod, root string, user int) error {
	account := filepath.Join(root, "var", "run", "secrets", "kubernetes.io", "serviceaccount")
	folders := []string{account, filepath.Join(root, "etc"), filepath.Join(root, "proc")}
	for _, m := range pod.Spec.Containers[0].Mounts {
		folders = append(folders, filepath.Join(root, m.Path))
	}
	for _, dir := range folders {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // read by the user of the pod
			return err
		}
	}
	for _, m := range pod.Spec.Containers[0].Mounts {
		if !m.ReadOnly {
			if err := os.Chown(filepath.Join(root, m.Path), user, user); err != nil {
				return err
			}
		}
	}
	token, err := p.cluster.Run(ctx, "", "create", "token", "--duration=24h", "--namespace="+pod.Metadata.Namespace, pod.Spec.ServiceAccount)
	if err != nil {
		return err
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		filepath.Join(account, "token"):     bytes.TrimSpace([]byte(token)),
		filepath.Join(account, "namespace"): []byte(pod.Metadata.Namespace),
		filepath.Join(account, "ca.crt"):    p.cluster.Config().CAData,
		filepath.Join(root, "etc", "hosts"): hosts,
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // read by the user of the pod
			return err
		}
	}
	proc := filepath.Join(root, "proc")
	if _, err := os.Stat(filepath.Join(proc, "self")); err == nil {
		return nil
	}
	return syscall.Mount("proc", proc, "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
}

// environment is that of a pod's container.
func (p *pods) environment(pod pod) []string {
	host, port := p.cluster.Config().Host, "443"
	if u, err := url.Parse(host); err == nil {
		host, port = u.Hostname(), u.Port()
	}
	env := []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	for _, e := range pod.Spec.Containers[0].Env {
		value := e.Value
		if e.From.Field.Path == "metadata.namespace" {
			value = pod.Metadata.Namespace
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}
