// SPDX-License-Identifier: Apache-2.0

package cluster

import "syscall"

// dieWithParent ends a part with the test, also where that has no time to clean up: a panic, or the time limit of go test.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
