// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
)

const postgres = "../../conformance/sovereign/postgres"

// The image of the sovereign scenario is made of packages and is run as a node would run it: unpacked, as the first process in namespaces
// of its own, as its user, with a group that a cluster has chosen.
func TestImageOfPostgresRuns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it changes the root of a process")
	}
	debs := "../../bin/sovereign/debs" // what make has fetched is not fetched again
	if _, err := os.Stat(debs); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("fetches packages only with CI=true, or after make sovereign-images")
		}
		debs = t.TempDir()
	}
	dir := t.TempDir()
	// As make does it, and not with the race detector, which is slow in compressing what nobody shares.
	build := func(args ...string) error {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "image: apt") {
			t.Skip("no packages of Debian 12 to be had: ", string(out))
		}
		if err != nil {
			return errors.Join(err, errors.New(string(out)))
		}
		return nil
	}
	archive, start := filepath.Join(dir, "image.tar"), filepath.Join(dir, "start")
	if err := build("build", "-o", start, "./"+postgres+"/start"); err != nil {
		t.Fatal(err)
	}
	if err := build("run", ".", "-out", archive, "-name", "start", "-recipe", postgres+"/packages", "-debs", debs, "linux/"+runtime.GOARCH+"="+start); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	unpackImage(t, archive, root)
	server := startImage(t, root)
	for question, want := range map[string]string{
		"SELECT count(*) FROM pg_timezone_names WHERE name = 'Europe/Berlin'":                                                    "1",
		"SELECT to_tsvector('english', 'running dogs')":                                                                          "'dog':2 'run':1",
		"SELECT 'ä' < 'z' COLLATE \"C.utf8\", upper('ä' COLLATE \"de-x-icu\")":                                                   "f|Ä",
		"CREATE EXTENSION pg_trgm; SELECT length(xmlserialize(content '<a/>'::xml AS text))":                                     "CREATE EXTENSION\n4",
		"SELECT jit_above_cost > 0, pg_jit_available() FROM (SELECT current_setting('jit_above_cost')::int AS jit_above_cost) s": "t|f",
	} {
		out, err := inImage(t, root, "/usr/lib/postgresql/15/bin/psql", "-XAt", "-U", "me", "-d", "notes", "-c", question).CombinedOutput()
		if got := strings.TrimSpace(string(out)); got != want || err != nil {
			t.Errorf("%s: %q, %v; expected %q", question, got, err, want)
		}
	}
	if out, err := inImage(t, root, "/usr/lib/postgresql/15/bin/pg_isready").CombinedOutput(); err != nil {
		t.Error(err, string(out))
	}
	if out, err := inImage(t, root, "/usr/lib/postgresql/15/bin/pg_dump", "-U", "me", "notes").CombinedOutput(); err != nil || !strings.Contains(string(out), "pg_trgm") {
		t.Error(err, string(out))
	}
	if err := server.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Error("asked to end: ", err)
	}
}

// unpackImage unpacks the layers of the only image of an archive, as a container engine does.
func unpackImage(t *testing.T, archive, root string) {
	t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil { //nolint:gosec // a root
		t.Fatal(err)
	}
	file, err := blob.File(archive, "application/vnd.ocm.software.oci.layout.v1+tar")
	if err != nil {
		t.Fatal(err)
	}
	c, err := blob.Layout(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	layers := 0
	err = blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if d.MediaType != ociv1.MediaTypeImageManifest {
			return nil
		}
		var m ociv1.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		for _, l := range m.Layers {
			layers++
			r, err := blob.Open(t.Context(), c.From, l)
			if err != nil {
				return err
			}
			defer r.Close()
			plain, _, err := blob.Gunzip(r)
			if err != nil {
				return err
			}
			cmd := exec.CommandContext(t.Context(), "tar", "-x", "--numeric-owner", "-p", "-C", root)
			cmd.Stdin = plain
			if out, err := cmd.CombinedOutput(); err != nil {
				return errors.Join(err, errors.New(string(out)))
			}
		}
		return nil
	})
	if err != nil || layers != layerCount {
		t.Fatal(layers, err)
	}
	// What an engine mounts: a few devices, and room for shared memory.
	for path, mode := range map[string]os.FileMode{"dev/shm": 0o1777, "tmp": 0o1777} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, path), 0o755), syscall.Chmod(filepath.Join(root, path), uint32(mode))); err != nil { //nolint:gosec // as the kernel has it
			t.Fatal(err)
		}
	}
	if err := errors.Join(syscall.Mknod(filepath.Join(root, "dev/null"), syscall.S_IFCHR|0o666, 1<<8|3), os.Chmod(filepath.Join(root, "dev/null"), 0o666)); err != nil { //nolint:gosec // of that kind
		t.Skip("cannot make a null device: ", err)
	}
}

func inImage(t *testing.T, root, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Path, cmd.Err, cmd.Dir = program, nil, "/"
	cmd.Env = []string{"PATH=/usr/lib/postgresql/15/bin:/usr/bin", "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data/pgdata", "PGPASSWORD=secret"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 999, Gid: 1234}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// startImage starts the program of the image, and comes back when the server takes connections.
func startImage(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	cmd := inImage(t, root, "/start")
	cmd.Env = append(cmd.Env, "POSTGRES_USER=me", "POSTGRES_DB=notes", "POSTGRES_PASSWORD=secret")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no namespaces here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it all in its namespace
		_ = cmd.Wait()
	})
	if err := r.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "not found") || strings.Contains(lines.Text(), "WARNING") {
			t.Errorf("something is missing: %s", lines.Text())
		}
		if strings.Contains(lines.Text(), "database system is ready") {
			return cmd
		}
	}
	t.Fatalf("the server never became ready:\n%s", &said)
	return nil
}
