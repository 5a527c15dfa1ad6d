// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
)

// pipeLocation is the archive that comes through standard input, or goes to standard output.
const pipeLocation = "-"

func isPipe(typ, location string) bool { return typ == ocm.CTFType && location == pipeLocation }

// openTarget opens a repository that is written.
func (s *session) openTarget(ctx context.Context, typ, location string) (ocm.Repository, error) {
	if isPipe(typ, location) {
		return s.OpenOnce("stdout", func() (ocm.Repository, error) {
			return oci.NewRepository(ctf.Write(s.app.out, s.env.TempDir()), s.env), nil
		})
	}
	if typ == ocm.CTFType && strings.HasSuffix(location, ".tar.zst") {
		s.env.Log.Warn("other tools cannot read .tar.zst; .tar and .tgz are for all", "archive", location)
	}
	if typ == ocm.CTFType && !ctf.HasLocks {
		s.env.Log.Warn("on this system archives are written without a lock: let no other process write to it at the same time", "archive", location)
	}
	return s.open(ctx, typ, location)
}

// openStdin opens the archive that comes through standard input.
func (s *session) openStdin() (ocm.Repository, error) {
	return s.OpenOnce("stdin", func() (ocm.Repository, error) {
		if f, ok := s.app.in.(*os.File); ok && isDevice(f) {
			return nil, usagef("ctf::- reads an archive from standard input, which is a terminal: pipe one into it, as from \"ocm transfer cv ... ctf::-\"")
		}
		store, err := ctf.Read(s.app.in)
		if err != nil {
			return nil, err
		}
		return oci.NewRepository(store, s.env), nil
	})
}

// drain reads what is left of standard input, if that is the source: who writes into the pipe
// shall not be cut off, and a stream that does not end as it should is told.
func drain(ctx context.Context, typ, location string, source ocm.Repository) error {
	r, ok := source.(interface {
		Sequential() (ocm.Sequential, bool)
	})
	if !ok || !isPipe(typ, location) {
		return nil
	}
	s, ok := r.Sequential()
	if !ok {
		return nil
	}
	return s.Each(ctx, func(ociv1.Descriptor, io.Reader) error { return nil })
}

// results is where a command that writes to a repository prints to: standard output, unless that is
// the repository.
func (a *app) results(typ, location string) (io.Writer, error) {
	if !isPipe(typ, location) {
		return a.out, nil
	}
	if f, ok := a.out.(*os.File); ok && isDevice(f) {
		return nil, usagef("ctf::- writes an archive to standard output, which is a terminal: send it into a pipe or a file")
	}
	if a.global.logOutput == "stdout" {
		return nil, usagef("--logoutput stdout: the archive goes there")
	}
	return a.err, nil
}

// isDevice reports whether a file is a terminal, or another device that has no use for an archive.
func isDevice(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// finish makes what was written to a repository visible.
func finish(ctx context.Context, repo ocm.Repository) error {
	if f, ok := repo.(ocm.Finisher); ok {
		return f.Finish(ctx)
	}
	return nil
}
