// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"ocm"
	"ocm/credentials"
	"ocm/oci/remote"
)

const (
	maxPassword = 64 << 10 // bytes; some are tokens
	maxUserName = 1 << 10
)

const loginLong = `Keep user name and password for a registry in Docker's configuration, where ocm, docker,
podman, helm and others find them: in $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or
$HOME/.docker/config.json, or in the credential helper that is named there. Before that the
registry is asked whether it accepts them.

The password is asked for on the terminal, or read from standard input.`

const loginExample = `  # user name and password are asked for
  ocm login ghcr.io

  # the password comes through a pipe: printf %s "$PASSWORD" | …
  ocm login ghcr.io -u me --password-stdin`

type loginOptions struct {
	user     string
	stdin    bool
	password string
}

func (o *loginOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.user, "username", "u", "", "user `name`")
	fs.BoolVar(&o.stdin, "password-stdin", false, "read the password from standard input")
	fs.StringVarP(&o.password, "password", "p", "", "refused: see --password-stdin")
	fs.Lookup("password").Hidden = true
}

func newLogin(a *app) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:     "login <host[:port]> [flags]",
		Short:   "Keep credentials for a registry",
		Long:    loginLong,
		Example: loginExample,
		Args:    arguments("<host[:port]>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("password") {
				return withHint(usagef("a password in the command line is seen by everybody on this computer, and stays in the shell's history"),
					"write it into a file or variable, and pipe it: printf %s \"$PASSWORD\" | ocm login "+safeHost(args[0])+" -u USER --password-stdin")
			}
			return runLogin(cmd.Context(), a, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runLogin(ctx context.Context, a *app, o loginOptions, host string) error {
	server, err := registryHost(host)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	secret, err := o.ask(ctx, a, server)
	if err != nil {
		return err
	}
	checked, err := s.tryLogin(ctx, host, secret)
	if errors.Is(err, ocm.ErrDenied) {
		return withHint(fmt.Errorf("%s does not accept user name and password, nothing was stored: %w", server, err),
			"check user name and password; many registries want a token in place of the password")
	}
	if err != nil {
		return fmt.Errorf("%s could not be asked, nothing was stored: %w", server, err)
	}
	where, err := credentials.Login(ctx, credentials.DockerFile(credentials.Options{Getenv: a.getenv}), server, secret)
	if err != nil {
		return err
	}
	if !checked {
		s.env.Log.Warn("the registry did not ask for credentials, so nobody knows whether they are right", "host", server)
	}
	if !strings.HasPrefix(where, "credential helper") {
		s.env.Log.Info("the file is not encrypted; a credential helper would be (credsStore)", "file", where)
	}
	_, err = fmt.Fprintf(a.out, "logged in to %s as %s, kept in %s\n", server, clean(secret["username"], false), clean(where, false))
	return err
}

// registryHost checks what is logged in to, and takes the scheme off.
func registryHost(host string) (string, error) {
	_, rest, hasScheme := strings.Cut(host, "://")
	if !hasScheme {
		rest = host
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.Contains(rest, "/") {
		return "", usagef("%s: expected a host without path: credentials are kept by host", safeHost(host))
	}
	if _, err := remote.Open(nil, host, "", remote.Options{}); err != nil {
		return "", usage(err)
	}
	return strings.ToLower(rest), nil
}

// safeHost is a host for messages: what stands before @ could be a password.
func safeHost(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return host[i+1:]
	}
	return host
}

// ask gets user name and password.
func (o *loginOptions) ask(ctx context.Context, a *app, server string) (ocm.Secret, error) {
	f, ok := a.in.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	user := o.user
	var err error
	if user == "" && terminal && !o.stdin {
		fmt.Fprintf(a.err, "User name for %s: ", server)
		if user, err = untilInterrupted(ctx, func() (string, error) { return readLine(a.in, maxUserName) }); err != nil {
			return nil, err
		}
	}
	if user == "" {
		return nil, usagef("the user name is missing: add -u USER")
	}
	var raw []byte
	switch {
	case o.stdin:
		raw, err = untilInterrupted(ctx, func() ([]byte, error) { return readAll(a.in, maxPassword) })
	case terminal:
		fmt.Fprintf(a.err, "Password for %s (not shown): ", user)
		raw, err = readPassword(ctx, int(f.Fd()))
		fmt.Fprintln(a.err)
	default:
		return nil, usagef("there is no terminal to ask for the password: pipe it, and add --password-stdin")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if password == "" {
		return nil, usagef("the password is empty")
	}
	return ocm.Secret{"username": user, "password": password}, nil
}

// readPassword reads what the terminal does not show; it shows again what is typed after that, also after an interruption.
func readPassword(ctx context.Context, terminal int) ([]byte, error) {
	was, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	raw, err := untilInterrupted(ctx, func() ([]byte, error) { return term.ReadPassword(terminal) })
	return raw, errors.Join(err, term.Restore(terminal, was))
}

// readLine reads a line and not a byte more: what follows is the password.
func readLine(r io.Reader, limit int) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < limit {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) {
			return strings.TrimSpace(string(line)), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, one[:n]...)
	}
	return "", fmt.Errorf("more than %d bytes: %w", limit, ocm.ErrLimit)
}

// tryLogin asks a registry whether it accepts credentials; checked is false if it did not want any.
func (s *session) tryLogin(ctx context.Context, host string, secret ocm.Secret) (checked bool, err error) {
	offer := &offered{secret: secret}
	env := *s.env
	env.Credentials = offer
	r, err := remote.Open(&env, strings.TrimSuffix(host, "/"), "", remote.Options{})
	if err != nil {
		return false, err
	}
	err = r.Ping(ctx)
	return offer.asked.Load(), err
}

// offered are the credentials that are tried.
type offered struct {
	secret ocm.Secret
	asked  atomic.Bool
}

// Resolve implements [ocm.Credentials].
func (o *offered) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	o.asked.Store(true)
	return o.secret, nil
}

// String hides what is inside.
func (o *offered) String() string { return "credentials that are tried" }

// GoString hides what is inside.
func (o *offered) GoString() string { return o.String() }
