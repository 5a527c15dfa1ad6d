// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ocm"
	"ocm/internal/fixture"
)

// secrets are credentials for one consumer.
type secrets ocm.Secret

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] != Consumer {
		return nil, ocm.ErrNotFound
	}
	return ocm.Secret(s), nil
}

func newKey(t testing.TB) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	return signer, string(pem.EncodeToMemory(block))
}

// sshServer runs the real git-upload-pack for whoever has the key or the password "right"; if modern, in the version
// that the client wants. It returns host:port and the line for known hosts.
func sshServer(t testing.TB, modern bool, key ssh.PublicKey) (hostport, known string) {
	t.Helper()
	host, _ := newKey(t)
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, nil
			}
			return nil, errors.New("unknown key")
		},
		PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			if string(p) == "right" {
				return nil, nil
			}
			return nil, errors.New("wrong password")
		},
	}
	config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config, modern)
		}
	}()
	return l.Addr().String(), knownhosts.Line([]string{l.Addr().String()}, host.PublicKey())
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig, modern bool) {
	defer conn.Close()
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for c := range chans {
		ch, reqs, err := c.Accept()
		if err != nil {
			return
		}
		env := os.Environ()
		for r := range reqs {
			switch r.Type {
			case "env":
				var kv struct{ Name, Value string }
				if ssh.Unmarshal(r.Payload, &kv) == nil && modern {
					env = append(env, kv.Name+"="+kv.Value)
				}
				_ = r.Reply(modern, nil)
			case "exec":
				_ = r.Reply(true, nil)
				var text struct{ Command string }
				_ = ssh.Unmarshal(r.Payload, &text)
				go func() {
					cmd := exec.Command("sh", "-c", text.Command)
					cmd.Env, cmd.Stdout, cmd.Stderr = env, ch, ch.Stderr()
					in, err := cmd.StdinPipe() // with a reader, Run would wait for its end
					go func() { _, _ = io.Copy(in, ch) }()
					err = errors.Join(err, cmd.Run())
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ N uint32 }{map[bool]uint32{true: 128}[err != nil]}))
					ch.Close()
				}()
			}
		}
	}
}

func TestSSH(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's!")
	must(t, os.Mkdir(dir, 0o755))
	first, second := repository(t, dir)
	r := filepath.Join(dir, "r")
	run(t, r, "config", "uploadpack.allowReachableSHA1InWant", "true")
	key, pemKey := newKey(t)
	for _, modern := range []bool{true, false} {
		hostport, known := sshServer(t, modern, key.PublicKey())
		for name, secret := range map[string]secrets{"key": {"privateKey": pemKey, "knownHosts": known}, "password": {"username": "me", "password": "right", "knownHosts": known}} {
			temp := t.TempDir()
			remote := remote(t, &ocm.Env{Credentials: secret, Temp: temp}, "ssh://git@"+hostport+r)
			got, err := remote.Commit(t.Context(), "")
			if err != nil || got != second {
				t.Errorf("%s: expected %s, found %s %v", name, second, got, err)
			}
			all, err := read(t.Context(), remote.Tree(first))
			if err != nil || !bytes.Equal(all, checkout(t, r, first)) {
				t.Errorf("%s: the archive differs from a checkout: %v", name, err)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary folder: %v %v", left, err)
			}
		}
	}
}

func TestSSHRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repository(t, dir)
	key, pemKey := newKey(t)
	hostport, known := sshServer(t, true, key.PublicKey())
	_, other := sshServer(t, true, key.PublicKey())
	_, wrongKey := newKey(t)
	impostor := strings.Replace(other, strings.Fields(other)[0], strings.Fields(known)[0], 1)
	for name, c := range map[string]struct {
		secret secrets
		path   string
		want   error
		text   string
	}{
		"unknown host":     {secrets{"privateKey": pemKey, "knownHosts": other}, "/r", ocm.ErrDenied, "known_hosts"},
		"no host known":    {secrets{"privateKey": pemKey, "knownHosts": "# none"}, "/r", ocm.ErrDenied, "not known"},
		"another host key": {secrets{"privateKey": pemKey, "knownHosts": impostor}, "/r", ocm.ErrDenied, "another key"},
		"revoked host key": {secrets{"privateKey": pemKey, "knownHosts": "@revoked " + known}, "/r", ocm.ErrDenied, "revoked"},
		"broken line":      {secrets{"privateKey": pemKey, "knownHosts": "x y z"}, "/r", ocm.ErrInvalid, "known hosts"},
		"wrong key":        {secrets{"privateKey": wrongKey, "knownHosts": known}, "/r", ocm.ErrDenied, "privateKey"},
		"wrong password":   {secrets{"password": "geheim", "knownHosts": known}, "/r", ocm.ErrDenied, "privateKey"},
		"broken key":       {secrets{"privateKey": "geheim", "knownHosts": known}, "/r", ocm.ErrInvalid, "PEM"},
		"no repository":    {secrets{"privateKey": pemKey, "knownHosts": known}, "/gone", ocm.ErrNotFound, "gone"},
	} {
		_, err := remote(t, &ocm.Env{Credentials: c.secret}, "ssh://"+hostport+dir+c.path).Commit(t.Context(), "")
		fixture.WantErr(t, err, c.want, c.text)
		for _, secret := range []string{"geheim", wrongKey, pemKey} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%s: the error tells a secret: %v", name, err)
			}
		}
	}
}
