// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
)

const (
	// HelperTimeout bounds one call of a credential helper.
	HelperTimeout = time.Minute
	// MaxHelperOutput is the greatest answer of a credential helper in bytes.
	MaxHelperOutput = 1 << 20

	helperPrefix = "docker-credential-"
	maxHelper    = 64 // characters of its name
	// helperKept is how long an answer is good for: a run asks for the same host many times, and some helpers make
	// tokens that live for minutes.
	helperKept = time.Minute
	// tokenUser is the user name by which helpers tell that the secret is an identity token.
	tokenUser = "<token>"
	// helperNothing is what helpers print where they have no credentials; with it they fail.
	helperNothing = "credentials not found in native keychain"
)

// helperSecret is what helpers read and write.
type helperSecret struct {
	ServerURL string
	Username  string
	Secret    string
}

// errNothing is the answer of a helper that has nothing for a server.
var errNothing = errors.New("the helper has no credentials")

// runHelper runs docker-credential-NAME ACTION, without a shell and found in PATH only. What it prints is not passed on in
// errors: nobody knows what it prints.
func runHelper(ctx context.Context, name, action, server, input string) ([]byte, error) {
	program := helperPrefix + name
	if name == "" || len(name) > maxHelper || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return nil, fmt.Errorf("credential helper %.100q: expected a name without path, it is looked for in PATH: %w", name, ocm.ErrInvalid)
	}
	if strings.ContainsAny(server, "\r\n\x00") {
		return nil, fmt.Errorf("credential helper %s: the server's name has a line break: %w", program, ocm.ErrInvalid) // it would be a second question
	}
	ctx, cancel := context.WithTimeout(ctx, HelperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, action) //nolint:gosec // the name was checked, and is found in PATH
	cmd.Stdin = strings.NewReader(input)
	out := &limited{left: MaxHelperOutput, stop: cancel}
	cmd.Stdout = out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var missing *exec.Error
	switch {
	case out.left < 0:
		return nil, fmt.Errorf("credential helper %s: its answer has more than %d bytes: %w", program, MaxHelperOutput, ocm.ErrLimit)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("credential helper %s: %w", program, ctx.Err())
	case err == nil || errors.Is(err, exec.ErrWaitDelay): // an agent that it started lives on, with its output
		return out.buf.Bytes(), nil
	case errors.As(err, &missing):
		return nil, fmt.Errorf("credential helper %s: %w", program, missing.Err)
	case strings.TrimSpace(out.buf.String()) == helperNothing:
		return nil, errNothing
	}
	return nil, fmt.Errorf("credential helper %s failed; run it with %q and %q on its standard input to see why", program, action, server)
}

// limited takes so many bytes, and stops who writes one more.
type limited struct {
	buf  bytes.Buffer // not embedded: its ReadFrom knows no limit
	left int
	stop func()
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		l.stop()
		return 0, ocm.ErrLimit
	}
	return l.buf.Write(p)
}

// helperServer is a server as helpers know it.
func helperServer(server string) string {
	if server == hubHost {
		return hubServer
	}
	return server
}

// askHelper gets the credentials for a server; none at all is no error.
func askHelper(ctx context.Context, name, server string) (ocm.Secret, error) {
	server = helperServer(server)
	out, err := runHelper(ctx, name, "get", server, server)
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readHelper(name, server, out)
}

// readHelper reads what a helper says to "get".
func readHelper(name, server string, out []byte) (ocm.Secret, error) {
	var h helperSecret
	if err := decode(out, &h, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("credential helper %s%s failed; its answer to \"get\" for %q is not what helpers answer: %w", helperPrefix, name, server, err)
	}
	if h.Username == tokenUser {
		return filled(ocm.Secret{"refreshToken": h.Secret}), nil
	}
	return filled(ocm.Secret{"username": h.Username, "password": h.Secret}), nil
}
