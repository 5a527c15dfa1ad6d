// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	checked = `package door

func Open(key string) bool {
	if key != "right" {
		return false
	}
	return true
}
`
	itsTest = `package door

import "testing"

func TestWrongKey(t *testing.T) {
	t.Run("another key", func(t *testing.T) {
		if Open("wrong") {
			t.Error("open")
		}
	})
}

func TestRightKey(t *testing.T) {
	if !Open("right") {
		t.Error("closed")
	}
}
`
)

// Only a test that ran and failed proves that a check is tested.
func TestWhatBecomesOfAMutation(t *testing.T) {
	t.Parallel()
	w := &workshop{t.Context(), t.TempDir(), t.TempDir()}
	for name, text := range map[string]string{"go.mod": "module door\n\ngo 1.26\n", "door.go": checked, "door_test.go": itsTest} {
		if err := os.WriteFile(filepath.Join(w.root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const check = `if key != "right" {`
	for i, tc := range []struct {
		find, replace, test string
		expected            error
	}{
		{check, `if false {`, "TestWrongKey", nil},
		{check, `if false {`, "TestWrongKey/another key", nil},
		{check, `if key == "wrong" { panic(key) } else if false {`, "TestWrongKey", nil},
		{check, `if false {`, "TestRightKey", errSurvived},
		{check, `if false {`, "TestNobodyWrote", errSurvived},
		{`if key != "left" {`, `if false {`, "TestWrongKey", errText},
		{`return`, `return`, "TestWrongKey", errText},
		{check, `if unknown {`, "TestWrongKey", errBuild},
		{check, `if {`, "TestWrongKey", errBuild},
		{check, `if os := key; false {`, "TestWrongKey", errBuild},
		{"package door\n", "package door\n\nimport _ \"nowhere\"\n", "TestWrongKey", errBuild},
		{"package door\n", "package door\n\nimport \"os\"\n\nfunc init() { println(\"\\nok\"); os.Exit(3) }\n", "TestWrongKey", errOdd},
	} {
		if err := w.apply(i, mutation{"door.go", tc.find, tc.replace, ".", tc.test}); !errors.Is(err, tc.expected) {
			t.Errorf("%q in place of %q, %s: expected %v, found %v", tc.replace, tc.find, tc.test, tc.expected, err)
		}
	}
	left, err := os.ReadDir(w.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// A test that is not there, or fails anyway, must not be taken for one that notices.
func TestBaseline(t *testing.T) {
	t.Parallel()
	w := &workshop{t.Context(), t.TempDir(), t.TempDir()}
	for name, text := range map[string]string{"go.mod": "module door\n\ngo 1.26\n", "door.go": checked, "door_test.go": itsTest +
		"\nfunc TestFails(t *testing.T) { t.Error(1) }\n\nfunc TestSkips(t *testing.T) { t.Skip() }\n"} {
		if err := os.WriteFile(filepath.Join(w.root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for test, good := range map[string]bool{"TestWrongKey": true, "TestWrongKey/another key": true, "TestWrongKey/no key": false,
		"TestNobodyWrote": false, "TestFails": false, "TestSkips": false} {
		if err := w.baseline([]mutation{{pkg: ".", test: test}}); (err == nil) != good {
			t.Errorf("%s: %v", test, err)
		}
	}
}

// The same mutation twice is a slip.
func TestListsHaveNothingTwice(t *testing.T) {
	t.Parallel()
	seen := map[mutation]int{}
	for _, m := range lists() {
		m.test = ""
		seen[m]++
	}
	for m, times := range seen {
		if times > 1 {
			t.Errorf("%s: %q is there %d times", m.file, m.find, times)
		}
		if m.find == m.replace || m.find == "" {
			t.Errorf("%s: %q changes nothing", m.file, m.find)
		}
	}
}

// Code that changes takes its mutations along: each text is in its file once, and its test is in a file of its package.
func TestTheListsAreOfToday(t *testing.T) {
	t.Parallel()
	tests := map[string]string{} // by package: the text of all its tests
	for _, m := range lists() {
		src, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil || strings.Count(string(src), m.find) != 1 {
			t.Errorf("%s: %q: %v, %v", m.file, m.find, errText, err)
		}
		if _, ok := tests[m.pkg]; !ok {
			files, err := filepath.Glob(filepath.Join("..", "..", m.pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				tests[m.pkg] += string(text)
			}
		}
		if name, _, _ := strings.Cut(m.test, "/"); !strings.Contains(tests[m.pkg], "func "+name+"(") {
			t.Errorf("%s: there is no test %s", m.pkg, name)
		}
	}
}
