// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

const confinedName = "ocm-render-confined"

func TestMain(m *testing.M) {
	Main()
	if os.Args[0] == confinedName {
		confined()
	}
	os.Exit(m.Run())
}

// confined tries what the process that renders must not be able to do.
func confined() {
	fail := func(what ...any) {
		fmt.Fprintln(os.Stderr, what...)
		os.Exit(1)
	}
	if err := confine(); err != nil {
		fail(err)
	}
	if runtime.GOOS != "linux" {
		os.Exit(0)
	}
	if _, err := os.Open("/etc/passwd"); err == nil {
		fail("it opens files")
	}
	if _, err := net.Dial("udp", "127.0.0.1:53"); err == nil {
		fail("it opens sockets")
	}
	if err := exec.Command("/bin/true").Run(); err == nil {
		fail("it starts programs")
	}
	if len(os.Environ()) > 0 {
		fail("it has an environment")
	}
	os.Exit(0)
}
