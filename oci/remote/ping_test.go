// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ocm"
	"ocm/credentials"
	"ocm/internal/fixture"
	"ocm/oci/remote"
)

// lockedRegistry is a registry of the distribution project that wants a password.
func lockedRegistry(t *testing.T, user, password string) string {
	t.Helper()
	bin, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not on PATH")
	}
	l := fixture.Must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	hash := fixture.Must[[]byte](t)(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost))
	for name, text := range map[string]string{
		"htpasswd": user + ":" + string(hash) + "\n",
		"config":   "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: '" + addr + "'}\nauth: {htpasswd: {realm: test, path: " + dir + "/htpasswd}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "serve", filepath.Join(dir, "config"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err == nil {
			_ = cmd.Wait() // says that it was killed
		}
	})
	for range 100 {
		if resp, err := http.Get("http://" + addr + "/v2/"); err == nil {
			resp.Body.Close()
			return addr
		}
		time.Sleep(50 * time.Millisecond) // there is no other way to learn that it listens
	}
	t.Fatal("docker-registry does not answer")
	return ""
}

func TestPing(t *testing.T) {
	t.Parallel()
	locked, open := lockedRegistry(t, "me", "right"), fixture.DockerRegistry(t)
	for _, tc := range []struct {
		at, password string
		kind         error
	}{
		{locked, "right", nil},
		{locked, "wrong", ocm.ErrDenied},
		{locked, "", ocm.ErrDenied},
		{open, "whatever", nil},
	} {
		env := &ocm.Env{}
		if tc.password != "" {
			env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": "OCIRegistry"}, Secret: ocm.Secret{"username": "me", "password": tc.password}})
		}
		r := fixture.Must[*remote.Store](t)(remote.Open(env, tc.at, "", remote.Options{}))
		err := r.Ping(context.Background())
		if tc.kind == nil && err != nil {
			t.Errorf("%s with %q: %v", tc.at, tc.password, err)
		} else if tc.kind != nil {
			fixture.WantErr(t, err, tc.kind)
		}
	}
	r := fixture.Must[*remote.Store](t)(remote.Open(nil, "oci://ghcr.io:443/a", "b", remote.Options{}))
	if got := r.Consumer().String(); got != "hostname=ghcr.io,path=a/b,port=443,scheme=https,type=OCIRegistry" {
		t.Error(got)
	}
}
