// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"ocm/internal/bench/kit"
)

// profiled is what the ocm command gets in addition when it is built for -profile; see [kit.Profiled].
const profiled = `package main

import (
	"io"
	"os"
	"runtime/pprof"
	"time"
)

func profiledRun(args []string, in io.Reader, out, errOut io.Writer, now func() time.Time) int {
	if f, err := os.Create(os.Getenv("OCM_CPUPROFILE")); err == nil {
		defer f.Close()
		if pprof.StartCPUProfile(f) == nil {
			defer pprof.StopCPUProfile()
		}
	}
	return run(args, in, out, errOut, now)
}
`

// buildProfiled replaces ocm by one that writes a profile of each run.
func (b *bench) buildProfiled() (err error) {
	if b.profile, err = filepath.Abs(b.profile); err != nil {
		return err
	}
	b.ocm, err = kit.Profiled(b.ctx, "ocm", profiled, b.path("tmp"), b.profile)
	return err
}

// profileOf tells a run of ocm where to write its profile: one file per case, of the last run.
func (b *bench) profileOf(args []string) []string {
	if b.profile == "" || args[0] != b.ocm || args[1] == quiet {
		return nil
	}
	s := b.section()
	return []string{"OCM_CPUPROFILE=" + filepath.Join(b.profile, fmt.Sprintf("%s%02d-%s.pprof", s.id, len(s.lines), args[1]))}
}
