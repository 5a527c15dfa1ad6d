// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/url"
	"os/exec"
	"runtime"

	"ocm"
	"ocm/builtin"
	"ocm/sign/sigstore"
)

// kit is everything that is compiled in. Keyless signing may ask the user to log in, where there is a user.
func (a *app) kit() *ocm.Kit {
	k := builtin.Kit()
	k.Signers.Add(sigstore.Handler{
		Getenv:      a.getenv,
		Interactive: a.err.terminal,
		Open:        openBrowser,
		Show:        func(text string) { fmt.Fprintln(a.err, clean(text, true)) },
	}, sigstore.SignerNames...)
	return k
}

// openBrowser shows an address in the browser of the user.
func openBrowser(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no address for a browser: %w", address, ocm.ErrInvalid)
	}
	command := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		command = []string{"open"}
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	return exec.Command(command[0], append(command[1:], u.String())...).Start()
}
