// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Profiled builds a command into a folder, with source beside its own: there profiledRun takes the place of run, and writes profiles. It is
// laid over the sources while building, so that the program that people use has nothing of it. What that takes is kept in temp.
func Profiled(ctx context.Context, command, source, temp, folder string) (program string, err error) {
	dir, err := filepath.Abs(filepath.Join("cmd", command))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "main.go"))
	if err != nil {
		return "", err
	}
	main := strings.Replace(string(text), "os.Exit(run(", "os.Exit(profiledRun(", 1)
	if main == string(text) {
		return "", fmt.Errorf("%s/main.go does not call run as it is expected here", dir)
	}
	over := map[string]string{}
	files := map[string]string{"main.go": main, "profiled.go": source}
	for name := range files {
		over[filepath.Join(dir, name)] = filepath.Join(temp, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": over})
	if err != nil {
		return "", err
	}
	files["overlay.json"] = string(overlay)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(temp, name), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	program = filepath.Join(folder, command)
	out, err := exec.CommandContext(ctx, "go", "build", "-overlay", filepath.Join(temp, "overlay.json"), "-o", program, "./cmd/"+command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// Tail keeps the end of what a program says. The bench must stay small itself: a process that it
// starts is charged with at least the memory that the bench had at that moment.
type Tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements [io.Writer].
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - 4<<10; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
