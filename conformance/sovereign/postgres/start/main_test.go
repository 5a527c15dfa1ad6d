// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocm/internal/fixture"
)

const (
	asProgram = "TEST_AS_PROGRAM" // makes the test's program the one that is tested
	nobody    = 65534             // who runs it where the test is root, whom PostgreSQL refuses
	secret    = "it's a $ecret"
	tooLong   = 2 * time.Minute // on a machine that does much else
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// site is a volume, and the program that is started on it.
type site struct {
	dir, program, bin string
	host              string // an address of its own: a port that was free a moment ago may be somebody else's
}

const port = "5432"

func newSite(t *testing.T) *site {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		t.Skip("needs PostgreSQL: apt-get install postgresql")
	}
	// Not t.TempDir, into whose parent nobody can look.
	dir, err := os.MkdirTemp("/tmp", "start")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: dir, program: filepath.Join(dir, "start"), bin: bins[len(bins)-1],
		host: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))}
	if err := errors.Join(fixture.Program(s.program, self), os.Chmod(s.program, 0o755), os.Chmod(dir, 0o755), os.Mkdir(s.volume(), 0o700)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(s.volume(), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) volume() string { return filepath.Join(s.dir, "volume") }
func (s *site) data() string   { return filepath.Join(s.volume(), "pgdata") }

func (s *site) command(t *testing.T, program string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Dir = append([]string{"PATH=" + s.bin + ":/usr/bin:/bin", "PGDATA=" + s.data()}, env...), s.volume()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// server is a started program, and what it says.
type server struct {
	cmd  *exec.Cmd
	says *bufio.Reader
	said strings.Builder
}

func (s *site) start(t *testing.T, env ...string) *server {
	t.Helper()
	cmd := s.command(t, s.program, append(env, asProgram+"=1"),
		"-c", "port="+port, "-c", "listen_addresses="+s.host, "-c", "unix_socket_directories="+s.volume(), "-c", "fsync=off")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(tooLong)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		r.Close()
	})
	return &server{cmd: cmd, says: bufio.NewReader(r)}
}

// until reads what is said up to a text, and no further: the line ends when what it tells of is done.
func (v *server) until(t *testing.T, text string) {
	t.Helper()
	for begun := v.said.Len(); !strings.HasSuffix(v.said.String()[begun:], text); {
		b, err := v.says.ReadByte()
		if err != nil {
			t.Fatalf("it never said %q (%v), but:\n%s", text, err, &v.said)
		}
		v.said.WriteByte(b)
	}
}

// end reads the rest, and is how it ended.
func (v *server) end(t *testing.T) error {
	t.Helper()
	if _, err := io.Copy(&v.said, v.says); err != nil {
		t.Fatalf("it did not end (%v):\n%s", err, &v.said)
	}
	return v.cmd.Wait()
}

func (v *server) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (s *site) query(t *testing.T, password, statement string) (string, error) {
	t.Helper()
	cmd := s.command(t, filepath.Join(s.bin, "psql"), []string{"PGPASSWORD=" + password, "LC_ALL=C"},
		"-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", s.host, "-p", port, "-U", "me", "-d", `my "own" notes`, "-c", statement)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

const ready = "ready to accept connections"

func TestStartsAndStartsAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.start(t, "POSTGRES_USER=me", "POSTGRES_PASSWORD="+secret, `POSTGRES_DB=my "own" notes`)
	v.until(t, "database system is "+ready)
	if out, err := s.query(t, secret, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)"); err != nil {
		t.Fatal(err, out)
	}
	want := "UTF8|C.UTF-8|scram-sha-256"
	if out, err := s.query(t, secret, "SELECT pg_encoding_to_char(encoding), datcollate, current_setting('password_encryption') FROM pg_database WHERE datname = current_database()"); out != want {
		t.Error(out, err, "expected", want)
	}
	if out, err := s.query(t, "wrong", "SELECT 1"); err == nil || !strings.Contains(out, "password authentication failed") {
		t.Errorf("a wrong password: %s", out)
	}
	if env, err := os.ReadFile("/proc/" + strconv.Itoa(v.cmd.Process.Pid) + "/environ"); err == nil && bytes.Contains(env, []byte("POSTGRES_PASSWORD")) {
		t.Error("the server has the password in its environment")
	}
	v.signal(t, syscall.SIGINT)
	if err := v.end(t); err != nil {
		t.Error(err, v.said.String())
	}
	if strings.Contains(v.said.String(), secret) {
		t.Error("the password was printed")
	}

	// As a volume comes back whose files were given to a group.
	if err := os.Chmod(s.data(), 0o770|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	v = s.start(t)
	v.until(t, "database system is "+ready)
	if out, err := s.query(t, secret, "SELECT n FROM kept"); out != "42" {
		t.Error(out, err)
	}
}

// Whenever it is killed, the next start ends in a database.
func TestKilledWhileItMakesTheDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(s.dir, "password"), 0o644); err != nil { //nolint:gosec // for nobody to read
		t.Fatal(err)
	}
	env := []string{"POSTGRES_USER=me", "POSTGRES_PASSWORD_FILE=" + filepath.Join(s.dir, "password"), `POSTGRES_DB=my "own" notes`}
	for _, moment := range []string{"creating subdirectories", "running bootstrap script", "performing post-bootstrap", "syncing data"} {
		v := s.start(t, env...)
		v.until(t, moment)
		if err := syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := v.end(t); err == nil {
			t.Error("it was not killed")
		}
		if _, err := os.Stat(s.data()); err == nil {
			t.Fatalf("killed at %q: there is half a database", moment)
		}
	}
	if left, err := os.ReadDir(s.data() + ".new"); err != nil || len(left) == 0 {
		t.Error("nothing was left of those that were killed; the test proves nothing", err)
	}

	v := s.start(t, env...) // and one that is asked to end, as a pod is
	v.until(t, "running bootstrap script")
	v.signal(t, syscall.SIGTERM)
	if err := v.end(t); err == nil {
		t.Error("it was asked to end and said that all is well")
	}
	if _, err := os.Stat(s.data() + ".new"); err == nil {
		t.Error("who was asked to end left something behind")
	}

	v = s.start(t, env...)
	v.until(t, "database system is "+ready)
	if out, err := s.query(t, secret, "SELECT 1"); out != "1" {
		t.Error(out, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	full := filepath.Join(s.volume(), "full")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "precious"), nil, 0o600)); err != nil { //nolint:gosec // to be looked into
		t.Fatal(err)
	}
	given := "POSTGRES_PASSWORD=" + secret
	for want, env := range map[string][]string{
		"set POSTGRES_PASSWORD, or":             {},
		"set one of them":                       {given, "POSTGRES_PASSWORD_FILE=/etc/hostname"},
		"POSTGRES_PASSWORD_FILE: open /nowhere": {"POSTGRES_PASSWORD_FILE=/nowhere"},
		"one line of at most 512 bytes":         {given + "\nand more"},
		"the password has to be":                {"POSTGRES_PASSWORD_FILE=" + s.program},
		"POSTGRES_DB has to be one line":        {given, "POSTGRES_DB=" + strings.Repeat("x", maxName+1)},
		"POSTGRES_USER has to be one line":      {given, "POSTGRES_USER=a\nb", "POSTGRES_DB=c"},
		"keeps for roles of its own":            {given, "POSTGRES_USER=pg_me"},
		`path of a folder from the root on`:     {given, "PGDATA=data"},
		"is a volume itself":                    {given, "PGDATA=/proc"},
		"are left alone":                        {given, "PGDATA=" + full},
		"mount a volume that user":              {given, "PGDATA=/nowhere/pgdata"},
	} {
		t.Run(want, func(t *testing.T) {
			v := s.start(t, env...)
			if err := v.end(t); err == nil {
				t.Error("no error")
			}
			if said := v.said.String(); !strings.Contains(said, want) || strings.Contains(said, secret) || strings.Count(said, "\n") > 2 {
				t.Errorf("it said %q", said)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(full, "precious")); err != nil {
		t.Error(err)
	}
}

// Two that begin at once do not write into one folder.
func TestOneMakesTheDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	unlock, err := lock(s.data() + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := lock(s.data() + ".lock"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
}
