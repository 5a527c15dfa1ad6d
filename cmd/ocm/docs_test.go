// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDocs runs the commands of the documentation: the fenced blocks marked sh of each
// document, top to bottom, in an empty folder with ocm on PATH, a home of its own, and the root of this project in CLONE.
func TestDocs(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash:", err)
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatal("no documents:", err)
	}
	clone, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), goEnv(t)...)
	ran := 0
	for _, path := range append(documents, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		script := shellBlocks(string(text))
		if script == "" {
			continue
		}
		ran++
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), bash, "-euo", "pipefail", "-c", script)
			cmd.Dir = t.TempDir()
			cmd.Env = append(slices.Clone(env), "CLONE="+clone, "HOME="+t.TempDir(), "OCM_CONFIG=", "XDG_CONFIG_HOME=", "DOCKER_CONFIG=")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if ran == 0 {
		t.Error("no document has a block of commands")
	}
}

// goEnv are the settings by which a build in another home uses the caches of this one, and loads nothing.
func goEnv(t *testing.T) (env []string) {
	t.Helper()
	names := []string{"GOCACHE", "GOMODCACHE", "GOFLAGS"}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	values := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(values) != len(names) {
		t.Fatalf("go env: %v, %q", err, out)
	}
	for i, name := range names {
		env = append(env, name+"="+values[i])
	}
	return append(env, "GOPROXY=off")
}

// shellBlocks joins the fenced blocks marked sh of a Markdown text. Errors name the line. A block
// marked "sh gpg" needs that command, and is left out where there is none; what is marked "sh cluster" runs in package k8stest, and what is marked
// "sh build", "sh carry" or "sh target" in internal/sovereign.
func shellBlocks(text string) string {
	var b strings.Builder
	inside := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch fence := strings.TrimSpace(line); {
		case inside && fence == "```":
			inside = false
		case inside:
			b.WriteString(line)
		case strings.HasPrefix(fence, "```sh ") && slices.Contains(elsewhere, strings.Fields(fence)[1]): // never here: kubectl might reach a cluster that matters
		case fence == "```sh" || strings.HasPrefix(fence, "```sh ") && areThere(strings.Fields(fence)[1:]):
			inside = true
			fmt.Fprintf(&b, "echo '=== line %d'\n", number+1)
		}
	}
	return b.String()
}

// elsewhere are the words of blocks that others run.
var elsewhere = []string{"cluster", "build", "carry", "target"}

func areThere(commands []string) bool {
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			return false
		}
	}
	return true
}

func TestShellBlocks(t *testing.T) {
	t.Parallel()
	text := "# x\n```sh\na\n```\n```go\nb\n```\n    c\n```sh\nd\n\ne\n```\n```sh no-such-command-anywhere\nf\n```\n```sh target real\ng\n```\n"
	if got, want := shellBlocks(text), "echo '=== line 3'\na\necho '=== line 10'\nd\n\ne\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
