// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command pause is what a pod consists of before its containers run: it holds the namespaces that they share, and does nothing. As the
// first process of a pod whose containers share their processes, it also takes leave of those whose parents have gone.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		// One signal may stand for several children.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR { //nolint:errorlint // a number of the kernel
				break
			}
		}
	}
}
