// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package ctf

import (
	"io/fs"
	"os"
)

// HasLocks: see the file for systems that have them.
const HasLocks = false

const openSafely = 0

func ownedAlone(fs.FileInfo) bool { return true }

// tryLock always succeeds: between processes nothing is locked on these systems, so one CTF
// must be written by one process at a time.
func tryLock(*os.File) (bool, error) { return true, nil }

func tryShare(*os.File) (bool, error) { return true, nil }

// allowReplacing lets a file be replaced by another of its name: Windows refuses to replace one that is read-only, as
// every index is. What is wrong with it, if anything, the renaming tells.
func allowReplacing(dir *os.Root, name string) { _ = dir.Chmod(name, 0o644) }
