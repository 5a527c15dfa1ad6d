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

// profiled is what the ocm command gets in addition when it is built for -profile. It is laid over
// the sources while building, so that the command that people use has nothing of it.
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
func (b *bench) buildProfiled() error {
	var err error
	if b.profile, err = filepath.Abs(b.profile); err != nil {
		return err
	}
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Join("cmd", "ocm"))
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
		filepath.Join(dir, "main.go"): b.path("tmp", "main.go"), filepath.Join(dir, "profiled.go"): b.path("tmp", "profiled.go"),
	}})
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"main.go": main, "profiled.go": profiled, "overlay.json": string(overlay)} {
		if err := b.writeFile(filepath.Join("tmp", name), []byte(content)); err != nil {
			return err
		}
	}
	b.ocm = filepath.Join(b.profile, "ocm")
	if out, err := exec.CommandContext(b.ctx, "go", "build", "-overlay", b.path("tmp", "overlay.json"), "-o", b.ocm, "./cmd/ocm").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// profileOf tells a run of ocm where to write its profile: one file per case, of the last run.
func (b *bench) profileOf(args []string) []string {
	if b.profile == "" || args[0] != b.ocm || args[1] == quiet {
		return nil
	}
	s := b.section()
	return []string{"OCM_CPUPROFILE=" + filepath.Join(b.profile, fmt.Sprintf("%s%02d-%s.pprof", s.id, len(s.lines), args[1]))}
}
