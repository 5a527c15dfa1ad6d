// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package plugintest

// Umask does nothing where there is none.
func Umask() {}
