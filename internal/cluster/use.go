// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// commandTimeout is how long one command of kubectl may take in a test.
const commandTimeout = 2 * time.Minute

// Config is the administrator, whom RBAC lets do everything. The caller may change it.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// As is the configuration of a client with a certificate of a user, who is in these groups, and whom RBAC lets do what it was
// told to.
func (c *Cluster) As(t testing.TB, user string, groups ...string) *rest.Config {
	t.Helper()
	cfg, err := c.identity(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Kubeconfig is the path of a kubeconfig with a certificate of a user.
func (c *Cluster) Kubeconfig(t testing.TB, user string, groups ...string) string {
	t.Helper()
	return c.kubeconfigOf(t, c.As(t, user, groups...), "")
}

// AdminKubeconfig is the path of the kubeconfig of the administrator.
func (c *Cluster) AdminKubeconfig() string { return c.kubeconfig(admin) }

// ServiceAccountToken is a token of a service account, which must exist, good for an hour.
func (c *Cluster) ServiceAccountToken(t testing.TB, namespace, name string) string {
	t.Helper()
	return strings.TrimSpace(c.Kubectl(t, "create", "token", "--namespace="+namespace, "--duration=1h", name))
}

// ServiceAccountConfig is the configuration of a client that is a service account.
func (c *Cluster) ServiceAccountConfig(t testing.TB, namespace, name string) *rest.Config {
	t.Helper()
	cfg := c.anonymous()
	cfg.BearerToken = c.ServiceAccountToken(t, namespace, name)
	return cfg
}

// ServiceAccountKubeconfig is the path of a kubeconfig of a service account, in its namespace.
func (c *Cluster) ServiceAccountKubeconfig(t testing.TB, namespace, name string) string {
	t.Helper()
	return c.kubeconfigOf(t, c.ServiceAccountConfig(t, namespace, name), namespace)
}

func (c *Cluster) kubeconfigOf(t testing.TB, cfg *rest.Config, namespace string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.writeKubeconfig(path, cfg, namespace); err != nil {
		t.Fatal(err)
	}
	return path
}

// Run runs kubectl with the administrator's kubeconfig, unless the arguments say another, and returns what it prints. What it
// complains about is in the error.
func (c *Cluster) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), args...)
	cmd.Env = append(c.environment(), "KUBECONFIG="+c.kubeconfig(admin))
	cmd.SysProcAttr, cmd.Stdin = dieWithParent(), strings.NewReader(stdin)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}

// Kubectl runs kubectl as the administrator and returns what it prints. The test ends if it fails; [Cluster.Run] is for commands
// that may.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return c.kubectl(t, "", args...)
}

// Apply applies manifests as the administrator, on the side of the server, with further arguments, say "--namespace=x".
func (c *Cluster) Apply(t testing.TB, manifests string, args ...string) {
	t.Helper()
	c.kubectl(t, manifests, append([]string{"apply", "--server-side", "--force-conflicts", "-f", "-"}, args...)...)
}

func (c *Cluster) kubectl(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, err := c.Run(ctx, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// notInName is what cannot be in the name of a namespace.
var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace makes a namespace for a test, with the service account "default", and deletes it, without waiting, when the test
// ends. Events in it are told if the test has failed.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	c.serial++
	suffix := fmt.Sprintf("-%d", c.serial)
	c.mu.Unlock()
	name := notInName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	name = strings.Trim(name[:min(len(name), 50)], "-") + suffix
	// the account is what the controller manager would make, a moment later or, without Workloads, never
	c.Apply(t, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: %[1]s}}\n", name))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if t.Failed() {
			out, err := c.Run(ctx, "", "get", "events", "--namespace="+name, "--sort-by=.lastTimestamp")
			t.Logf("events in %s (%v):\n%s", name, err, out)
		}
		if _, err := c.Run(ctx, "", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Logf("namespace %s stays: %v", name, err)
		}
	})
	return name
}

// Eventually calls f until it returns no error, and ends the test with the last one if it still does after d.
func Eventually(t testing.TB, d time.Duration, f func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Since(start) > d {
			t.Fatalf("still after %v: %v", d, err)
		}
		time.Sleep(50 * time.Millisecond) // between two looks at what others do
	}
}

// FreeAddress is an address on 127.0.0.1 for a program of a test to listen on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
