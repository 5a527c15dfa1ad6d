// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
)

// TestMain lets the test binary play another process: what it does is said by its environment.
func TestMain(m *testing.M) {
	role, dir, name := os.Getenv("CTF_TEST_ROLE"), os.Getenv("CTF_TEST_DIR"), os.Getenv("CTF_TEST_NAME")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role, dir, name); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role, dir, name string) error {
	if role == "nobody" { // root may do everything
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	s, err := ctf.Open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx := context.Background()
	switch role {
	case "tags":
		for i := range 100 {
			d, raw := manifest(fmt.Sprint(name, i))
			if err := s.Repo("r").PutManifest(ctx, d, raw, fmt.Sprintf("%s.%d", name, i), oci.Absent()); err != nil {
				return err
			}
		}
		return nil
	case "forever":
		for i := 0; ; i++ {
			text := strings.Repeat(fmt.Sprint(name, i, " "), 200_000)
			if _, err := s.Repo("r").Push(ctx, ociv1.Descriptor{}, strings.NewReader(text)); err != nil {
				return err
			}
			d, raw := manifest(fmt.Sprint(name, i))
			if err := s.Repo("r").PutManifest(ctx, d, raw, fmt.Sprintf("%s.%d", name, i), oci.Absent()); err != nil {
				return err
			}
			fmt.Println("tagged", i)
		}
	case "clean": // never ends by itself
		for {
			done, err := s.Clean(ctx, ctf.CleanOptions{OlderThan: time.Hour, Untagged: true})
			if errors.Is(err, ocm.ErrConflict) { // the other one cleans for longer than is waited for
				continue
			}
			if err != nil {
				return err
			}
			fmt.Println("cleaned", len(done.Blobs))
		}
	case "mayflies": // puts versions, and deletes most of them again
		return mayflies(ctx, s.Repo("r"), name)
	case "half": // comes to the middle of a blob and stays there
		d, raw := large(name)
		_, err := s.Repo("r").Push(ctx, d, io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), stuck{}))
		return err
	case "whole":
		d, raw := large(name)
		_, err := s.Repo("r").Push(ctx, d, bytes.NewReader(raw))
		return err
	case "private":
		syscall.Umask(0o077)
		for _, size := range []int64{10, 2 << 20} {
			if _, err := s.Repo("r").Push(ctx, ociv1.Descriptor{}, io.LimitReader(zeros{}, size)); err != nil {
				return err
			}
		}
	case "limited":
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 10_000, Max: 10_000}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		_, err := s.Repo("r").Push(ctx, ociv1.Descriptor{}, io.LimitReader(zeros{}, 5<<20))
		fmt.Println(err)
	}
	d, raw := manifest(name)
	return s.Repo("r").PutManifest(ctx, d, raw, name, oci.Absent())
}

// mayflies never ends by itself. Every third version stays.
func mayflies(ctx context.Context, r oci.Repo, name string) error {
	del := r.(oci.Deleter)
	for i := 0; ; i++ {
		text := strings.Repeat(fmt.Sprint(name, i, " "), 1000)
		layer, err := r.Push(ctx, ociv1.Descriptor{}, strings.NewReader(text))
		if err != nil {
			return err
		}
		raw := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"x/y","digest":%q,"size":%d},"layers":[]}`, layer.Digest, layer.Size)
		d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if err := r.PutManifest(ctx, d, raw, fmt.Sprintf("%s.%d", name, i), oci.Absent()); err != nil {
			return err
		}
		if i%3 == 0 {
			fmt.Println("stays", i)
			continue
		}
		if err := del.DeleteManifest(ctx, d.Digest); err != nil {
			return err
		}
		if err := del.DeleteBlob(ctx, layer.Digest); err != nil {
			return err
		}
	}
}

// stuck says so, and waits until it is killed.
type stuck struct{}

func (stuck) Read([]byte) (int, error) {
	fmt.Println("stuck")
	select {}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func process(t *testing.T, role, dir, name string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CTF_TEST_ROLE="+role, "CTF_TEST_DIR="+dir, "CTF_TEST_NAME="+name)
	return cmd
}

func TestProcesses_loseNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 8} {
		dir := filepath.Join(t.TempDir(), "ctf")
		cmds := make([]*exec.Cmd, n)
		outs := make([]bytes.Buffer, n)
		for i := range cmds {
			cmds[i] = process(t, "tags", dir, fmt.Sprint("p", i))
			cmds[i].Stdout = &outs[i]
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				t.Fatalf("process %d: %v\n%s", i, err, &outs[i])
			}
		}
		r := open(t, dir).Repo("r")
		count := 0
		for tag, err := range r.Tags(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Resolve(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			count++
		}
		if count != n*100 {
			t.Errorf("%d processes: expected %d tags, found %d", n, n*100, count)
		}
		wantNoTemps(t, dir)
	}
}

// A process that is killed while it pushes blobs and writes the index, at moments that nobody
// chose, leaves a CTF that reads, verifies, and can be written.
func TestProcesses_killed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	tags := 0
	for i := range 12 {
		cmd := process(t, "forever", dir, fmt.Sprint("p", i))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for range 1 + rand.IntN(3) {
			lines.ReadString('\n')
			tags++
		}
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()

		s := open(t, dir)
		r := s.Repo("r")
		found := 0
		for name, err := range r.Tags(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			found++
			d, err := r.Resolve(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if there, err := r.Exists(t.Context(), d); !there || err != nil {
				t.Fatalf("%s: %v, %v", name, there, err)
			}
			rc, err := r.Fetch(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := io.ReadAll(rc); err != nil || d.Digest.Algorithm().FromBytes(raw) != d.Digest {
				t.Fatalf("%s: the manifest is not whole: %v", name, err)
			}
			rc.Close()
		}
		if found < tags {
			t.Fatalf("expected at least the %d tags that were reported, found %d", tags, found)
		}
		tags = found
		tag(t, s, "after", "1.0.0", fmt.Sprint(i))
		blobs, _ := filepath.Glob(filepath.Join(dir, "blobs", "sha256.*"))
		for _, file := range blobs {
			verifyFile(t, file)
		}
	}
}

// Processes that clean up, and are killed at moments that nobody chose, take nothing from who writes meanwhile, though all that
// it finds is old.
func TestProcesses_killedWhileCleaning(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	tag(t, standing(t, dir), "r", "first", "x")
	gone := 0
	for i := range 6 {
		var cmds [2]*exec.Cmd
		outs := [2]*said{{begun: make(chan struct{})}, {begun: make(chan struct{})}}
		for j := range cmds {
			cmds[j] = process(t, "clean", dir, "")
			cmds[j].Stdout = outs[j]
			if err := cmds[j].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, out := range outs {
			<-out.begun
		}
		for j := range 20 + rand.IntN(20) {
			weave(t, dir, i*100+j)
		}
		for j := range cmds {
			if err := cmds[j].Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmds[j].Wait()
			for line := range strings.Lines(outs[j].all.String()) {
				switch n := 0; {
				case strings.HasSuffix(line, "\n") && !strings.HasPrefix(line, "cleaned"):
					t.Error(line)
				default:
					fmt.Sscanf(line, "cleaned %d", &n)
					gone += n
				}
			}
		}
	}
	if gone == 0 {
		t.Error("nothing was cleaned away: nothing was tried")
	}
	weave(t, dir, 0) // the next writer takes away the index that somebody was killed in
	wantNoTemps(t, dir)
}

// said is what a process says, and tells when it says something.
type said struct {
	all   bytes.Buffer
	begun chan struct{}
	once  sync.Once
}

func (s *said) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	return s.all.Write(b)
}

// weave moves a tag to a new manifest over a layer that may be there from before, and lets everything become old.
func weave(t *testing.T, dir string, i int) {
	t.Helper()
	s, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := s.Standing().Repo("r")
	text := fmt.Sprint("layer ", i%5)
	layer := ociv1.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromString(text), Size: int64(len(text))}
	if _, err := r.(oci.Placer).Place(t.Context(), layer, nil, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}); err != nil {
		t.Fatal(err)
	}
	config := pushText(t, r, fmt.Sprint("config ", i))
	image := putOver(t, r, fmt.Sprint("tag", i%3), config, layer)
	for _, d := range []ociv1.Descriptor{config, layer, image} {
		if _, err := os.Stat(blobFile(dir, d.Digest)); err != nil {
			t.Fatalf("round %d: the manifest is there, but %v", i, err)
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * time.Hour)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "sha256.") {
			_ = os.Chtimes(filepath.Join(dir, "blobs", f.Name()), past, past) // it may be gone by now
		}
	}
}

// Processes that put and delete, and are killed at moments that nobody chose, leave versions that are whole.
func TestProcesses_killedWhileDeleting(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	stay := 0
	for i := range 8 {
		var cmds [2]*exec.Cmd
		for j := range cmds {
			cmds[j] = process(t, "mayflies", dir, fmt.Sprint("p", i, "-", j))
			out, err := cmds[j].StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmds[j].Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			for range 2 {
				if line, err := lines.ReadString('\n'); !strings.HasPrefix(line, "stays") {
					t.Fatalf("expected a version that stays, found %q, %v", line, err)
				}
				stay++
			}
		}
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		for _, cmd := range cmds {
			cmd.Process.Kill()
			cmd.Wait()
		}
		found := 0
		for _, line := range describe(t, open(t, dir)) { // reads and verifies all that is listed
			if !strings.HasPrefix(line, " ") {
				found++
			}
		}
		if found < stay {
			t.Fatalf("expected at least %d versions, found %d", stay, found)
		}
	}
}

func verifyFile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := digestOf(f)
	if want := strings.Replace(filepath.Base(path), ".", ":", 1); err != nil || d != want {
		t.Errorf("%s: found content %s, %v", path, d, err)
	}
}

// A disk that is full half way (here: a limit of the process, which does the same to a write)
// leaves nothing half-written.
func TestProcesses_fullDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	s := open(t, dir)
	for i := range 60 { // the index grows above the limit
		tag(t, s, "r", fmt.Sprintf("1.0.%d", i), fmt.Sprint(i))
	}
	before, _ := os.ReadFile(filepath.Join(dir, "artifact-index.json"))
	out, err := process(t, "limited", dir, "new").Output()
	if err == nil || strings.Count(string(out), "file too large") != 2 || !strings.Contains(string(out), dir) {
		t.Errorf("expected two refused writes, found %v\n%s", err, out)
	}
	after, err := os.ReadFile(filepath.Join(dir, "artifact-index.json"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the index was changed: %v", err)
	}
	wantNoTemps(t, dir)
	tag(t, s, "r", "new", "new")
}

func TestProcesses_readOnlyFolder(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs the right to become another user")
	}
	base, err := os.MkdirTemp("", "ctf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	os.Chmod(base, 0o755)
	dir := filepath.Join(base, "ctf")
	tag(t, open(t, dir), "r", "1.0.0", "")
	for _, path := range []string{dir, filepath.Join(base, "new")} {
		out, err := process(t, "nobody", path, "2.0.0").Output()
		if err == nil || !strings.Contains(string(out), ocm.ErrDenied.Error()) || !strings.Contains(string(out), path) || !strings.Contains(string(out), "owner and mode") {
			t.Errorf("expected an error that says what to do, found %v\n%s", err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(base, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder was created")
	}
	wantNoTemps(t, dir)
}

// Modes do not depend on what the user lets new files have: the next reader may be another one.
func TestProcesses_umask(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := process(t, "private", dir, "1.0.0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "blobs", "*"))
	for _, file := range append(files, filepath.Join(dir, "artifact-index.json")) {
		if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o444 {
			t.Errorf("%s: expected mode 0444, found %v, %v", file, fi, err)
		}
	}
	if len(files) != 3 {
		t.Errorf("expected a large blob, a small one and a manifest, found %v", files)
	}
}
