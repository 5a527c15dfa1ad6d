// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// postgres is a real server for all tests of the package, on a socket in a folder of its own. It is started when a test first
// asks for it.
var postgres struct {
	start  sync.Once
	folder string // where its socket is
	err    error
	stop   func()
	count  atomic.Int64 // of databases
}

var errNoPostgres = errors.New("no PostgreSQL here: install Debian's postgresql")

func TestMain(m *testing.M) {
	status := m.Run()
	if postgres.stop != nil {
		postgres.stop()
	}
	os.Exit(status)
}

// database makes an empty database, and gives its connection string.
func database(t *testing.T) string {
	t.Helper()
	postgres.start.Do(func() { postgres.folder, postgres.stop, postgres.err = startPostgres() })
	if errors.Is(postgres.err, errNoPostgres) && os.Getenv("NOTES_TEST_POSTGRES") != "must" {
		t.Skip(postgres.err)
	}
	if postgres.err != nil {
		t.Fatal(postgres.err)
	}
	name := fmt.Sprintf("test%d", postgres.count.Add(1))
	exec1(t, address("postgres"), "create database "+name)
	return address(name)
}

func address(name string) string { return addressIn(postgres.folder, name) }

func addressIn(folder, name string) string {
	return fmt.Sprintf("host=%s user=tester password=quite-secret dbname=%s sslmode=disable", folder, name)
}

func exec1(t *testing.T, url, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// binary finds a program of PostgreSQL where Debian puts it, else on PATH.
func binary(name string) (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}

func startPostgres() (folder string, stop func(), err error) {
	initdb, err1 := binary("initdb")
	server, err2 := binary("postgres")
	if err1 != nil || err2 != nil {
		return "", nil, errNoPostgres
	}
	folder, err = os.MkdirTemp("/tmp", "notes-test-") // the path of a socket must be short
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(folder)
		}
	}()
	as, err := unprivileged(folder)
	if err != nil {
		return "", nil, err
	}
	data := filepath.Join(folder, "data")
	init := exec.Command(initdb, "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
	init.Dir, init.SysProcAttr = folder, as
	if out, err := init.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	run := exec.Command(server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off")
	run.Dir, run.SysProcAttr = folder, as
	said, err := run.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := run.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		run.Process.Signal(syscall.SIGQUIT)
		run.Wait()
		os.RemoveAll(folder)
	}
	if err := readyLine(said); err != nil {
		stop()
		return "", nil, err
	}
	return folder, stop, nil
}

// readyLine waits until the server says that it is ready, and reads on beside the tests.
func readyLine(said io.Reader) error {
	lines, heard := bufio.NewScanner(said), ""
	for lines.Scan() {
		heard += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go io.Copy(io.Discard, said)
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL ended: %s", heard)
}

// unprivileged is how root starts PostgreSQL, which refuses to run as root. It ends with the test, however that ends.
func unprivileged(folder string) (*syscall.SysProcAttr, error) {
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return as, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
	return as, os.Chown(folder, uid, gid)
}

// storeOf is the database as a release sees it, not migrated.
func storeOf(t *testing.T, url, version string) *store {
	t.Helper()
	s, err := openStore(url, releaseOf(version))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func migrated(t *testing.T, url, version string) *store {
	t.Helper()
	s := storeOf(t, url, version)
	if _, err := s.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// appliedOf lists what schema_migrations has.
func appliedOf(ctx context.Context, t *testing.T, s *store) string {
	t.Helper()
	var got string
	err := s.db.QueryRowContext(ctx, "select coalesce(string_agg(version::text, ' ' order by version), '') from schema_migrations").Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
