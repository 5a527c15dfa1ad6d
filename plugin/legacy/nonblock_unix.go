// SPDX-License-Identifier: Apache-2.0

//go:build unix

package legacy

import "syscall"

// nonblock is how a named pipe that has just taken a file's place is opened without waiting for its writer.
const nonblock = syscall.O_NONBLOCK
