// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What an environment may say.
const (
	maxName     = 63  // of a user or database, in bytes: PostgreSQL cuts longer ones
	maxPassword = 512 // in bytes
)

// patience is how long a program may take to end that was asked to.
const patience = 5 * time.Second

// database is what is made on the first start.
type database struct {
	dir, user, name string
	password        func() (string, error) // asked for on the first start only
}

func fromEnvironment() (database, error) {
	d := database{dir: os.Getenv("PGDATA"), user: os.Getenv("POSTGRES_USER"), name: os.Getenv("POSTGRES_DB"), password: password}
	if d.user == "" {
		d.user = "postgres"
	}
	if d.name == "" {
		d.name = d.user
	}
	if !filepath.IsAbs(d.dir) {
		return d, fmt.Errorf("PGDATA has to be the path of a folder from the root on, it is %q", d.dir)
	}
	d.dir = filepath.Clean(d.dir)
	for variable, v := range map[string]string{"POSTGRES_USER": d.user, "POSTGRES_DB": d.name} {
		if len(v) > maxName || strings.ContainsAny(v, "\r\n\x00") {
			return d, fmt.Errorf("%s has to be one line of at most %d bytes", variable, maxName)
		}
	}
	if strings.HasPrefix(d.user, "pg_") {
		return d, errors.New("POSTGRES_USER begins with pg_, which PostgreSQL keeps for roles of its own")
	}
	return d, nil
}

// password is the one for the superuser. No message holds any of it.
func password() (string, error) {
	p, file := os.Getenv("POSTGRES_PASSWORD"), os.Getenv("POSTGRES_PASSWORD_FILE")
	if p != "" && file != "" {
		return "", errors.New("both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set: set one of them")
	}
	if file != "" {
		f, err := os.Open(file) //nolint:gosec // the file that the user names
		if err != nil {
			return "", fmt.Errorf("POSTGRES_PASSWORD_FILE: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxPassword+2))
		if err != nil {
			return "", fmt.Errorf("POSTGRES_PASSWORD_FILE: %w", err)
		}
		p = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	}
	switch {
	case p == "":
		return "", errors.New("there is no database yet, and no password for its superuser: set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE to the name of a file that holds it")
	case len(p) > maxPassword || strings.ContainsAny(p, "\r\n\x00"):
		return "", fmt.Errorf("the password has to be one line of at most %d bytes", maxPassword)
	}
	return p, nil
}

// make makes the database in a folder beside its own, and gives it its name as the last thing. Killed before that, it begins anew.
func (d database) make(ctx context.Context) error {
	if err := d.check(); err != nil {
		return err
	}
	secret, err := d.password()
	if err != nil {
		return err
	}
	parent := filepath.Dir(d.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("%w: mount a volume that user %d can write", err, os.Getuid())
	}
	unlock, err := lock(d.dir + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	draft := d.dir + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	defer os.RemoveAll(draft) // which is nothing after the end
	if err := d.fill(ctx, draft, secret); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if err := os.Remove(d.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // it is empty
		return err
	}
	if err := os.Rename(filepath.Join(draft, "data"), d.dir); err != nil {
		return err
	}
	return sync(parent)
}

// check refuses a folder that a database cannot get by way of another name.
func (d database) check() error {
	var own, parent syscall.Stat_t
	err := syscall.Stat(d.dir, &own)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syscall.Stat(filepath.Dir(d.dir), &parent)
	}
	if err != nil {
		return err
	}
	if own.Dev != parent.Dev {
		return fmt.Errorf("PGDATA %s is a volume itself: name a folder in it, as in %s", d.dir, filepath.Join(d.dir, "pgdata"))
	}
	if entries, err := os.ReadDir(d.dir); err != nil || len(entries) > 0 {
		return errors.Join(fmt.Errorf("PGDATA %s holds files and no database (no PG_VERSION): they are left alone; name another folder", d.dir), err)
	}
	return nil
}

// lock sees that one process at a time makes a database there.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: mount a volume that user %d can write", err, os.Getuid())
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another process makes this database just now: %w", name, err)
	}
	return func() { f.Close() }, nil
}

// fill makes a whole database: initdb, the database of the product, and who may connect.
func (d database) fill(ctx context.Context, draft, secret string) error {
	if err := os.Mkdir(draft, 0o700); err != nil {
		return err
	}
	file, data := filepath.Join(draft, "password"), filepath.Join(draft, "data")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	if err := call(ctx, "", "initdb", "--pgdata="+data, "--username="+d.user, "--pwfile="+file, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	if d.name != "postgres" {
		// A server for one client, without a network and without a password.
		statement := fmt.Sprintf("CREATE DATABASE \"%s\";\n", strings.ReplaceAll(d.name, `"`, `""`))
		if err := call(ctx, statement, "postgres", "--single", "-D", data, "-c", "exit_on_error=on", "postgres"); err != nil {
			return err
		}
	}
	return allow(filepath.Join(data, "pg_hba.conf"))
}

// call runs a program of PostgreSQL, and lets it end by itself when this one is asked to end.
func call(ctx context.Context, input, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), os.Stdout, os.Stderr
	if input != "" {
		cmd.Stdout = nil // prompts, for somebody who types
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = patience
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// allow has everybody connect from everywhere who knows the password. Who may reach the port is a matter of the cluster.
func allow(file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString("host all all all scram-sha-256\n"); err != nil {
		return err
	}
	return f.Sync()
}

// sync makes a new name in a folder last.
func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
