// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"ocm"
	"ocm/ctf"
)

// exitStatus maps a kind of error to the exit status of the program.
type exitStatus struct {
	code int
	text string
	is   func(error) bool
}

// exitStatuses is the one table of exit statuses; the first that fits counts. What fits
// none is 1. Verification comes first: a failed one must not look like anything milder.
func exitStatuses() []exitStatus {
	return []exitStatus{
		{4, "verification failed: a digest or a signature is wrong, or cannot be checked", anyOf(ocm.ErrSignature, ocm.ErrDigest)},
		{5, "access denied: credentials are missing or not sufficient, or files are protected", anyOf(ocm.ErrDenied, fs.ErrPermission, syscall.EROFS)},
		{2, "wrong use: an unknown flag or command, a missing or malformed argument", isUsage},
		{3, "not found: component version, resource, file or key", anyOf(ocm.ErrNotFound, fs.ErrNotExist)},
	}
}

// exitHelp is the table as help shows it.
func exitHelp() string {
	texts := [...]string{0: "done", 1: "failed", 5: ""}
	for _, s := range exitStatuses() {
		texts[s.code] = s.text
	}
	var b strings.Builder
	for code, text := range texts {
		fmt.Fprintf(&b, "  %d  %s\n", code, text)
	}
	return b.String()
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	for _, s := range exitStatuses() {
		if s.is(err) {
			return s.code
		}
	}
	return 1
}

// exit ends the progress display, prints the error if there is one, and returns the
// status to exit with.
func (a *app) exit(err error) int {
	a.err.stopProgress()
	for _, f := range a.atExit {
		f()
	}
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && exitCode(err) == 1 {
		fmt.Fprintln(a.err, "Error: interrupted; what was begun is not visible, and the same command finishes the work")
		return 1
	}
	text := strings.ReplaceAll(wording(err), "\n", "\n       ") // several errors stand below each other
	fmt.Fprintf(a.err, "Error: %s\n", clean(text, true))
	if h := hint(err); h != "" {
		fmt.Fprintf(a.err, "Hint:  %s\n", clean(h, true))
	}
	return exitCode(err)
}

func anyOf(kinds ...error) func(error) bool {
	return func(err error) bool {
		for _, k := range kinds {
			if errors.Is(err, k) {
				return true
			}
		}
		return false
	}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error { return usageError{err} }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u)
}

// hinted is an error with a next step that only the place where it happened knows.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// withHint adds a next step, if there is one, to an error, if there is one.
func withHint(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return hinted{err, hint}
}

// hint is the next step for the most likely mistakes; empty if nothing helpful is known.
func hint(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	for _, known := range [...]struct {
		is   func(error) bool
		hint string
	}{
		{isUntrusted, "the server's certificate is signed by nobody this system trusts; SSL_CERT_FILE names a file with further authorities"},
		{isPlainHTTP, "the registry speaks plain HTTP: write http:// before its name"},
		{isUnexplained, "log in with \"ocm login HOST\", or add credentials for the host to $HOME/.ocmconfig"},
		{anyOf(ocm.ErrConflict), "somebody else wrote the same component version; run the command again"},
		{anyOf(ctf.ErrNoIndex), archiveHint},
		{anyOf(ctf.ErrBroken), "compare the size and the SHA-256 (sha256sum) of the file with those of the original, and copy it again"},
		{anyOf(syscall.ENOSPC), fullHint(err)},
		{isRefused, "check the server's name and port"},
		{isUnknownHost, "check the server's name; if a folder is meant, write ./ before its name"},
	} {
		if known.is(err) {
			return known.hint
		}
	}
	return ""
}

// fullHint names the folder whose disk is full.
func fullHint(err error) string {
	where, path := "", (*fs.PathError)(nil)
	if errors.As(err, &path) {
		where = " on the disk of " + filepath.Dir(path.Path)
	}
	return "free some space" + where + " and run the command again; --temp-folder or TMPDIR moves temporary files, and only these, to another disk"
}

// isUnexplained is the denial of a server that does not itself say how to log in. What an archive
// refuses because it cannot do it at all would not be helped by credentials.
func isUnexplained(err error) bool {
	return errors.Is(err, ocm.ErrDenied) && !anyOf(fs.ErrPermission, syscall.EROFS, errors.ErrUnsupported)(err) && !strings.Contains(err.Error(), "ocm auth explain")
}

func isUntrusted(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown) && !errors.Is(err, ocm.ErrSignature) // no server then
}

func isPlainHTTP(err error) bool { return errors.Is(err, http.ErrSchemeMismatch) }

func isUnknownHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
