// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ocm"
	"ocm/internal/fault"
)

// inNamespace is set in the process that may mount what it likes: nobody else sees it.
const inNamespace = "OCM_TEST_NAMESPACE"

// TestFullDisk transfers to a disk that is full after some kilobytes, or after some files, at
// every step of it; then there is room, and the same transfer finishes. The disk is real.
func TestFullDisk(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		again(t, "unshare", "--mount", "--propagation", "private")
		return
	}
	dir := filepath.Join(t.TempDir(), "disk")
	for _, kind := range []string{"ctf", "tar"} {
		t.Run(kind, func(t *testing.T) {
			needs(t, kind)
			for what, limit := range map[string]struct{ option, first, last, stride int }{
				"size":      {1 << 10, 8, 3000, 24}, // in KiB
				"nr_inodes": {1, 1, 40, 1},
			} {
				t.Run(what, func(t *testing.T) {
					failed := 0
					for n := limit.first; n <= limit.last; n += limit.stride * skip() {
						if disk(t, dir, kind, fmt.Sprintf("%s=%d", what, n*limit.option)) != nil {
							failed++
						}
						if t.Failed() {
							t.Fatalf("%s=%d", what, n*limit.option)
						}
					}
					if failed == 0 {
						t.Error("no transfer failed")
					}
				})
			}
		})
	}
}

// skip is the stride of those who do not try everything.
func skip() int {
	if every() {
		return 1
	}
	return 6
}

// disk is one transfer to a disk with a limit, and one after the limit has gone.
func disk(t *testing.T, dir, kind, limit string) error {
	if err := errors.Join(os.MkdirAll(dir, 0o755), syscall.Mount("tmpfs", dir, "tmpfs", 0, limit)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}()
	s := &scene{hosts: fault.Hosts{}, cache: tempDir(t), large: 1_200_000, to: sideIn(dir, "target."+kind)}
	s.fill(t, "ctf")
	err := s.run(t.Context(), nil, nil)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("expected %v, found %v", syscall.ENOSPC, err)
	}
	if err != nil && !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the disk: %v", err)
	}
	// A disk that can only be read meanwhile is not written, and readable.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if list := s.visible(t); len(list) < 2 {
		if err := s.run(t.Context(), nil, nil); !errors.Is(err, ocm.ErrDenied) && !errors.Is(err, syscall.EROFS) {
			t.Errorf("expected %v, found %v", syscall.EROFS, err)
		}
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m,nr_inodes=10000"); err != nil {
		t.Fatal(err)
	}
	s.check(t, err)
	return err
}

// TestFileSizeLimit transfers while no file may be larger than a limit, at every step of it.
func TestFileSizeLimit(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		again(t)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	var whole syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ctf", "tar"} {
		t.Run(kind, func(t *testing.T) {
			needs(t, kind)
			failed := 0
			for limit := uint64(1); limit < 4<<20; limit += limit/8*uint64(skip()) + 200 {
				s := newScene(t, "ctf", kind)
				if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: whole.Max}); err != nil {
					t.Fatal(err)
				}
				err := s.run(t.Context(), nil, nil)
				if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
					t.Fatal(err)
				}
				if err != nil && !errors.Is(err, syscall.EFBIG) {
					t.Errorf("expected %v, found %v", syscall.EFBIG, err)
				}
				if err != nil {
					failed++
				}
				if s.check(t, err); t.Failed() {
					t.Fatalf("limit %d", limit)
				}
			}
			if failed == 0 {
				t.Error("no transfer failed")
			}
		})
	}
}

// again runs a test in a process of its own, with the words in front of its command.
func again(t *testing.T, words ...string) {
	if len(words) > 0 {
		if out, err := exec.CommandContext(t.Context(), words[0], append(words[1:], "true")...).CombinedOutput(); err != nil {
			t.Skipf("%s is not permitted: %v %s", words[0], err, out)
		}
	}
	words = append(words, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
