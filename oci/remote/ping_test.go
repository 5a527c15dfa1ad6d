// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"ocm"
	"ocm/credentials"
	"ocm/internal/fixture"
	"ocm/internal/peer"
	"ocm/oci/remote"
)

// lockedRegistry is a registry of the distribution project that wants a password.
func lockedRegistry(t *testing.T, user, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "htpasswd")
	hash := fixture.Must[[]byte](t)(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost))
	if err := os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return peer.DockerRegistry(t, "auth: {htpasswd: {realm: test, path: "+file+"}}\n")
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
