// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A test that finds its tool only where somebody happened to build it fails in a clean checkout, and nowhere else.
func TestToolsOfTestsAreInstalled(t *testing.T) {
	t.Parallel()
	installed := append(made(t), packaged(t)...)
	files, err := filepath.Glob("../interop/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of interop: %v", err)
	}
	asked := regexp.MustCompile(`tool\(t, "([^"]+)"\)`)
	found := 0
	for _, file := range files {
		for _, m := range asked.FindAllStringSubmatch(read(t, file), -1) {
			found++
			if !slices.Contains(installed, m[1]) {
				t.Errorf("%s needs %s, which neither \"make peers\" nor .ci/run installs", filepath.Base(file), m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d uses of tools found: is the expression of this test still right?", found)
	}
}

// A process that starts while a program is written holds its file open, and then the program does not start: on a busy machine, and
// nowhere else. fixture.Program and fixture.LinkProgram keep the two apart.
func TestTestsWriteProgramsApart(t *testing.T) {
	t.Parallel()
	written := regexp.MustCompile(`os\.(WriteFile|OpenFile)\(.*, 0o[1357][0-7]{2}\)`)
	var found []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") && path != "../../internal/fixture/program.go" {
			return err
		}
		for range written.FindAllString(read(t, path), -1) {
			found = append(found, strings.TrimPrefix(path, "../../"))
		}
		return nil
	})
	if want := []string{"internal/fixture/program.go"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("programs are written in %v, expected %v only (%v)", found, want, err)
	}
}

// made lists what "make peers" puts into bin.
func made(t *testing.T) (tools []string) {
	t.Helper()
	for line := range strings.Lines(read(t, "../../Makefile")) {
		if rest, ok := strings.CutPrefix(line, "peers:"); ok {
			for _, m := range regexp.MustCompile(`\$\(BIN\)/(\S+)`).FindAllStringSubmatch(rest, -1) {
				tools = append(tools, m[1])
			}
		}
	}
	return tools
}

// packaged lists the Debian packages of .ci/run, and the command of the one that is named otherwise.
func packaged(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`for p in ([^;]+); do`).FindStringSubmatch(read(t, "../../.ci/run"))
	if m == nil {
		t.Fatal(".ci/run has no list of packages")
	}
	return append(strings.Fields(m[1]), "gpg")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
