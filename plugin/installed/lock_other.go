// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package installed

// lock does nothing on these systems: of two installations of one plugin at once, one may have to be repeated.
func lock(string) (unlock func(), err error) { return func() {}, nil }
