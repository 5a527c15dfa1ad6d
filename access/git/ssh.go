// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"ocm"
	"ocm/web"
)

// maxTold bounds what is kept of what the other side of an SSH connection says in errors.
const maxTold = 1024

// dialSSH starts git-upload-pack on a host whose key is known.
func dialSSH(ctx context.Context, env *ocm.Env, at Address) (service, error) {
	secret, err := env.Resolve(ctx, web.Identity(Consumer, at.URL))
	if err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return nil, err
	}
	hostport := at.hostport("22")
	known, err := knownKeys(env, secret["knownHosts"])
	if err != nil {
		return nil, err
	}
	methods, closeAgent, err := sshMethods(ctx, secret, env != nil && env.Confined)
	if err != nil {
		return nil, err
	}
	defer closeAgent()
	conn, err := dial(ctx, env, hostport)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User:              cmp.Or(at.URL.User.Username(), secret["username"], "git"),
		Auth:              methods,
		HostKeyCallback:   hostKey(known),
		HostKeyAlgorithms: algorithms(known, hostport, conn.RemoteAddr()),
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, hostport, config)
	if err != nil {
		conn.Close()
		return nil, sshError(err)
	}
	client := ssh.NewClient(c, chans, reqs)
	s, err := uploadPack(client, at.path)
	if err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

func uploadPack(client *ssh.Client, path string) (*stream, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	// Servers that do not accept this speak the older version.
	_ = session.Setenv("GIT_PROTOCOL", "version=2")
	w, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs := &told{}
	session.Stderr = errs
	if err := session.Start("git-upload-pack " + quote(path)); err != nil {
		return nil, err
	}
	return &stream{r: bufio.NewReaderSize(r, buffer), w: w, close: client.Close, told: func() string {
		_ = session.Wait() // the status says less than the text
		return errs.String()
	}}, nil
}

// quote makes one word of a text for the shell of the server.
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

// sshMethods are the ways to log in: the private key of the credentials, or what the user's agent holds, then
// the password. Those who are confined have no agent.
func sshMethods(ctx context.Context, secret ocm.Secret, confined bool) (methods []ssh.AuthMethod, done func(), err error) {
	done = func() {}
	if pem := secret["privateKey"]; pem != "" {
		signer, err := signer([]byte(pem), secret["passphrase"])
		if err != nil {
			return nil, nil, err
		}
		methods = append(methods, ssh.PublicKeys(signer))
	} else if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" && !confined {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "unix", socket); err == nil { // an agent that is gone is none
			methods, done = append(methods, ssh.PublicKeysCallback(agent.NewClient(conn).Signers)), func() { conn.Close() }
		}
	}
	if _, password := login(secret); password != "" {
		methods = append(methods, ssh.Password(password))
	}
	return methods, done, nil
}

func signer(pem []byte, passphrase string) (ssh.Signer, error) {
	parse := ssh.ParsePrivateKey
	if passphrase != "" {
		parse = func(b []byte) (ssh.Signer, error) { return ssh.ParsePrivateKeyWithPassphrase(b, []byte(passphrase)) }
	}
	s, err := parse(pem)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("privateKey of the credentials is encrypted; add its passphrase: %w", ocm.ErrInvalid)
	case err != nil: // the error of the parser may have parts of the key
		return nil, fmt.Errorf("privateKey of the credentials: expected a private key in PEM, and its passphrase if it has one: %w", ocm.ErrInvalid)
	}
	return s, nil
}

// knownKeys judges host keys by the lines given, else by the files of the user and the machine.
func knownKeys(env *ocm.Env, lines string) (ssh.HostKeyCallback, error) {
	var files []string
	if lines != "" {
		f, err := os.CreateTemp(env.TempDir(), "ocm-known-hosts-*") // the library reads files only
		if err != nil {
			return nil, err
		}
		defer os.Remove(f.Name())
		_, err = f.WriteString(lines)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		files = []string{f.Name()}
	} else {
		files = []string{"/etc/ssh/ssh_known_hosts"}
		if home, err := os.UserHomeDir(); err == nil && (env == nil || !env.Confined) {
			files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
		}
		files = slices.DeleteFunc(files, func(name string) bool { _, err := os.Stat(name); return err != nil })
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts of ssh: %v: %w", err, ocm.ErrInvalid)
	}
	return known, nil
}

// errHost is a host that is not who it says, or that nobody knows.
type errHost struct{ text string }

func (e *errHost) Error() string { return e.text }
func (e *errHost) Unwrap() error { return ocm.ErrDenied }

// hostKey refuses a host whose key is not known; it never learns one.
func hostKey(known ssh.HostKeyCallback) ssh.HostKeyCallback {
	return func(host string, addr net.Addr, key ssh.PublicKey) error {
		err := known(host, addr, key)
		var no *knownhosts.KeyError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &no) && len(no.Want) == 0:
			return &errHost{fmt.Sprintf("host %s is not known: its key is %s %s; compare it with what its operator says, and add it to ~/.ssh/known_hosts, or as knownHosts to the credentials of consumer %s",
				host, key.Type(), ssh.FingerprintSHA256(key), Consumer)}
		case errors.As(err, &no):
			return &errHost{fmt.Sprintf("host %s has another key than the known one: found %s %s; somebody may be in between", host, key.Type(), ssh.FingerprintSHA256(key))}
		}
		return &errHost{fmt.Sprintf("host %s: %v", host, err)}
	}
}

// algorithms are those of the keys that are known of a host, so that it shows one of these.
func algorithms(known ssh.HostKeyCallback, host string, addr net.Addr) []string {
	probe, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var no *knownhosts.KeyError
	if !errors.As(known(host, addr, probe), &no) {
		return nil
	}
	var out []string
	for _, k := range no.Want {
		if t := k.Key.Type(); t == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			out = append(out, t)
		}
	}
	return out
}

func sshError(err error) error {
	var host *errHost
	if errors.As(err, &host) {
		return err
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return fmt.Errorf("the server accepts none of the keys and passwords offered; add privateKey or password to the credentials of consumer %s: %w", Consumer, ocm.ErrDenied)
	}
	return err
}

// told keeps the first bytes of what is written to it.
type told struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *told) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b[:min(len(b), maxTold-t.buf.Len())])
	return len(b), nil
}

func (t *told) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
