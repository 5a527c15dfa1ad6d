// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command start is the first process of the image of PostgreSQL: it makes the database on the first start, and becomes the server on
// each. What it understands is what people know of other images:
//
//	PGDATA                folder of the database: a folder in a volume, not the volume itself
//	POSTGRES_USER         its superuser; postgres without it
//	POSTGRES_PASSWORD     the password of that user, or POSTGRES_PASSWORD_FILE, a file that holds it: one of them on the first start
//	POSTGRES_DB           a database that is made beside it, named as the user without it
//
// The arguments go to the server. Whoever ends it with SIGINT, as the image asks for, has it break connections off and end at once;
// with SIGTERM it waits for all clients to leave. Neither loses what was committed, nor does SIGKILL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
}

// run ends only with an error: the server takes the place of this process.
func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	syscall.Umask(0o077)
	d, err := fromEnvironment()
	if err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	server, err := exec.LookPath("postgres")
	if err != nil {
		return err
	}
	args = append([]string{
		"postgres", "-D", d.dir,
		"-c", "listen_addresses=*", "-c", "unix_socket_directories=" + strings.Join(sockets(), ","),
	}, args...)
	// What is a secret of the first start is none of the server's business.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "POSTGRES_") })
	stop()
	return syscall.Exec(server, args, env) //nolint:gosec // the server of the image, with the arguments that its user gives
}

// sockets are the folders that sockets can stand in: where the programs of Debian look for it, and the one that people mount when the
// root of the image cannot be written. Without any, the server is reached by TCP only.
func sockets() []string {
	return slices.DeleteFunc([]string{"/run/postgresql", "/tmp"}, func(dir string) bool {
		const mayWrite = 2
		return syscall.Access(dir, mayWrite) != nil
	})
}

// prepare makes the database if there is none, and sees that the server can take it.
func (d database) prepare(ctx context.Context) error {
	switch _, err := os.Stat(filepath.Join(d.dir, "PG_VERSION")); {
	case errors.Is(err, fs.ErrNotExist):
		if err := d.make(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	// A cluster that sees to the group of a volume's files opens this folder for the group on each mount, and the server refuses such.
	return os.Chmod(d.dir, 0o700) //nolint:gosec // a folder
}
