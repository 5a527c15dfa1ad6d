// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"ocm"
)

const (
	// helperTimeout bounds one call of the helper.
	helperTimeout = 30 * time.Second
	// maxOutput is the greatest answer of the helper in bytes.
	maxOutput = 64 << 10
)

// members are those of a specification.
type members struct {
	Protocol string `json:"protocol" about:"that of consumers which do not say it, https or http; default: https"`
	Username string `json:"username" about:"whose password is wanted, where the helper knows several users"`
}

// source asks a helper.
type source struct{ command []string }

// Find implements [ocm.CredentialSource].
func (s source) Find(ctx context.Context, _ *ocm.Env, spec ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	var m members
	if err := spec.Members(&m); err != nil {
		return nil, err
	}
	asked, err := question(m, id)
	if err != nil {
		return nil, err
	}
	out, err := s.run(ctx, asked.text())
	if err != nil {
		return nil, fmt.Errorf("credential helper %s: %w", s.command[0], err)
	}
	secret, err := asked.read(out)
	if err != nil {
		return nil, fmt.Errorf("credential helper %s: %w", s.command[0], err)
	}
	return secret, nil
}

// server is what the helper is asked for.
type server struct{ protocol, host, username string }

// question is the server of a consumer; [ocm.ErrNotFound] for consumers that are none.
func question(m members, id ocm.Identity) (server, error) {
	s := server{protocol: "https", host: id["hostname"], username: m.Username}
	if s.host == "" {
		return s, fmt.Errorf("a consumer without hostname: %w", ocm.ErrNotFound)
	}
	for _, protocol := range []string{m.Protocol, id["scheme"]} {
		switch protocol {
		case "", "oci":
		case "https", "http":
			s.protocol = protocol
		default:
			return s, fmt.Errorf("protocol %.20q: expected https or http: %w", protocol, ocm.ErrInvalid)
		}
	}
	if id["port"] != "" {
		s.host = net.JoinHostPort(s.host, id["port"])
	}
	// A line break would be a second question, to another server.
	if strings.ContainsFunc(s.host+s.username, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == '\\' }) {
		return s, fmt.Errorf("hostname, port or username has a character that is in none: %w", ocm.ErrInvalid)
	}
	return s, nil
}

// text is the question in the words of helpers.
func (s server) text() string {
	text := "protocol=" + s.protocol + "\nhost=" + s.host + "\n"
	if s.username != "" {
		text += "username=" + s.username + "\n"
	}
	return text + "\n"
}

// run runs the helper, without a shell. Nobody is at the keyboard: git asks a program in place of the user, which says nothing. What the
// helper writes to its standard error is not passed on: nobody knows what it writes.
func (s source) run(ctx context.Context, question string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...) //nolint:gosec // the environment says so, which is granted
	cmd.Dir = string(os.PathSeparator)                              // not below what somebody else's repository configures
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true")
	cmd.Stdin = strings.NewReader(question)
	out := &limited{stop: cancel}
	cmd.Stdout = out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case out.exceeded:
		return nil, fmt.Errorf("its answer has more than %d bytes: %w", maxOutput, ocm.ErrLimit)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // an agent that it started may live on
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// limited takes so many bytes, and stops who writes one more.
type limited struct {
	buf      bytes.Buffer
	exceeded bool
	stop     func()
}

func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > maxOutput {
		l.exceeded = true
		l.stop()
		return 0, ocm.ErrLimit
	}
	return l.buf.Write(p)
}

// read reads what the helper has answered: lines KEY=VALUE, up to an empty one. Keys that are not known are passed over, as git does. No error
// repeats anything of it.
func (s server) read(out []byte) (ocm.Secret, error) {
	secret := ocm.Secret{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			break
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.ContainsAny(line, "\r\x00") {
			return nil, fmt.Errorf("its answer has a line that is not KEY=VALUE: %w", ocm.ErrInvalid)
		}
		switch {
		case key == "username" && s.username != "" && value != s.username, key == "host" && value != s.host, key == "protocol" && value != s.protocol:
			return nil, fmt.Errorf("its answer is for another %s: %w", key, ocm.ErrInvalid)
		case (key == "username" || key == "password") && value != "":
			secret[key] = value
		}
	}
	if secret["password"] == "" {
		return nil, fmt.Errorf("nothing for %s: %w", s.host, ocm.ErrNotFound)
	}
	return secret, nil
}
