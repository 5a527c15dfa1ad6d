// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"ocm/internal/bench/kit"
)

// profiled is what ocm-controller gets in addition when it is built for -profile: a profile of the processor time of the whole run, and one
// of memory at the moment when it was most; see [kit.Profiled].
const profiled = `package main

import (
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

func profiledRun(args []string, out, errOut io.Writer) int {
	if f, err := os.Create(os.Getenv("OCM_PROFILE") + ".cpu"); err == nil {
		defer f.Close()
		if pprof.StartCPUProfile(f) == nil {
			defer pprof.StopCPUProfile()
		}
	}
	go func() {
		var most uint64
		for range time.Tick(time.Second) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapAlloc <= most+most/20 {
				continue
			}
			most = m.HeapAlloc
			if f, err := os.Create(os.Getenv("OCM_PROFILE") + ".heap"); err == nil {
				_ = pprof.WriteHeapProfile(f)
				f.Close()
			}
		}
	}()
	return run(args, out, errOut)
}
`

// buildProfiled replaces ocm-controller by one that writes profiles.
func (b *bench) buildProfiled() (err error) {
	if b.profile, err = filepath.Abs(b.profile); err != nil {
		return err
	}
	b.controller, err = kit.Profiled(b.ctx, "ocm-controller", profiled, b.dir, b.profile)
	return err
}

// profileTo tells the controller of a cluster where to write its profiles.
func (s *size) profileTo() []string {
	if s.profile == "" {
		return nil
	}
	return []string{"OCM_PROFILE=" + filepath.Join(s.profile, fmt.Sprintf("%d-%d", s.plan.Components, s.serial))}
}
