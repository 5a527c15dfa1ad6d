// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// What the test's program is, by this variable.
const role = "TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "pause": // with a child whose parent goes: it becomes ours, as in a pod whose containers share their processes
		const setChildSubreaper = 36
		if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); e != 0 {
			panic(e)
		}
		start("parent")
		main()
		return
	case "parent":
		start("orphan")
		return
	case "orphan":
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		fmt.Println(os.Getpid())
		<-end
		return
	}
	os.Exit(m.Run())
}

func start(as string) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stdout = []string{role + "=" + as}, os.Stdout
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

func TestHoldsReapsAndEnds(t *testing.T) {
	t.Parallel()
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = []string{role + "=pause"}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		orphan, err := strconv.Atoi(string(bytes.TrimSpace([]byte(line))))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(orphan, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		gone := func() bool { return syscall.Kill(orphan, 0) != nil } // a zombie still takes signals
		for until := time.Now().Add(time.Minute); !gone() && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond)
		}
		if !gone() {
			t.Error("nobody has taken leave of the orphan")
		}
		if err := cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", end, err)
		}
	}
}
