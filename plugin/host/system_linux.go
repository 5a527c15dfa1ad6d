// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What only Linux has: limits of another process, processes that end with the one that started them, and files that are run although
// their name may lead elsewhere by now.

// openFlags open a file that is run: no symbolic link, and nobody is waited for.
const openFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// trusted reports whether a file belongs to this user or to root.
func trusted(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}

// executable is the path by which an open file is run. A script is opened once more by its interpreter, which has no file of ours.
func executable(f *os.File, path string) string {
	var magic [2]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil || string(magic[:]) == "#!" {
		return path
	}
	open := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	if _, err := os.Stat(open); err != nil { // no such file system is mounted
		return path
	}
	return open
}

// prepare lets a program have a group of its own, and end with the thread that starts it.
func prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// What this process was started with open is not passed on. Where the kernel does not know the call, it is.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// onThread calls f on a thread that lives as long as it does.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		f()
	}()
}

// reserved is how much address space runtimes take and do not use: Go's a bit more than 1 GiB.
const reserved = 4 << 30

// limit bounds what a process and those that it starts may take: each of them so many bytes of memory, 0: any number, and so many open files.
func limit(pid int, memory int64, files int) error {
	set := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: uint64(files)}
	if memory > 0 {
		set[unix.RLIMIT_DATA] = uint64(memory)
		set[unix.RLIMIT_AS] = uint64(memory) + reserved
	}
	for resource, most := range set {
		var own unix.Rlimit
		if err := unix.Getrlimit(resource, &own); err != nil {
			return err
		}
		most = min(most, own.Max)
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			return os.NewSyscallError("prlimit", err)
		}
	}
	return nil
}

// await waits for the end of a process, whose number nobody else gets before it is waited for as usual.
func await(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signal sends a signal to all processes of a group.
func signal(pid int, s syscall.Signal) { _ = syscall.Kill(-pid, s) }
