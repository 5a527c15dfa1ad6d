// SPDX-License-Identifier: Apache-2.0

//go:build unix

package plugintest

import "syscall"

// Umask lets nobody else write to what tests create from now on, whatever the user's own mask is: plugins are run from no other folders.
func Umask() { syscall.Umask(0o022) }
