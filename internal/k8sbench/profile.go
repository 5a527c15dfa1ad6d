// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// profiled is what ocm-controller gets in addition when it is built for -profile: a profile of the processor time of the whole run, and one
// of memory at the moment when it was most. It is laid over the sources while building, so that the program that people use has
// nothing of it.
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
	dir, err := filepath.Abs(filepath.Join("cmd", "ocm-controller"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "main.go"))
	if err != nil {
		return err
	}
	main := strings.Replace(string(text), "os.Exit(run(", "os.Exit(profiledRun(", 1)
	if main == string(text) {
		return fmt.Errorf("%s/main.go does not call run as it is expected here", dir)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(dir, "main.go"): filepath.Join(b.dir, "main.go"), filepath.Join(dir, "profiled.go"): filepath.Join(b.dir, "profiled.go")}})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"main.go": main, "profiled.go": profiled, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	b.controller = filepath.Join(b.profile, "ocm-controller")
	out, err := exec.CommandContext(b.ctx, "go", "build", "-overlay", filepath.Join(b.dir, "overlay.json"), "-o", b.controller, "./cmd/ocm-controller").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// profileTo tells the controller of a cluster where to write its profiles.
func (s *size) profileTo() []string {
	if s.profile == "" {
		return nil
	}
	return []string{"OCM_PROFILE=" + filepath.Join(s.profile, fmt.Sprintf("%d-%d", s.plan.Components, s.serial))}
}
