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
		if err := w.apply(i, mutation{"door.go", tc.find, tc.replace, ".", tc.test}, ""); !errors.Is(err, tc.expected) {
			t.Errorf("%q in place of %q, %s: expected %v, found %v", tc.replace, tc.find, tc.test, tc.expected, err)
		}
	}
	left, err := os.ReadDir(w.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// Mutations that share a binary are told apart, and those that cannot share one are left to be made alone.
func TestSharedBinary(t *testing.T) {
	t.Parallel()
	w := &workshop{t.Context(), t.TempDir(), t.TempDir()}
	const more = "\nvar Word = \"right\"\n\ntype lock struct{}\n\nfunc (*lock) open(_ int, keys ...string) (ok bool) {\n\treturn keys[0] == Word && len(keys) > 1\n}\n\n" +
		"func first[T any](all []T) (T, bool) {\n\treturn all[0], true\n}\n"
	const tests = "\nfunc TestLock(t *testing.T) {\n\tif (*lock)(nil).open(1, \"right\") || !(&lock{}).open(1, \"right\", \"x\") {\n\t\tt.Error(1)\n\t}\n}\n\n" +
		"func TestFirst(t *testing.T) {\n\tif _, ok := first([]int{1}); !ok {\n\t\tt.Error(1)\n\t}\n}\n"
	for name, text := range map[string]string{"go.mod": "module door\n\ngo 1.26\n", "door.go": checked + more, "door_test.go": itsTest + tests} {
		if err := os.WriteFile(filepath.Join(w.root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const check = `if key != "right" {`
	list := []mutation{
		{"door.go", check, `if false {`, ".", "TestWrongKey"},
		{"door.go", check, `if key == "right" {`, ".", "TestRightKey"},
		{"door.go", check, `if false {`, ".", "TestRightKey"}, // not noticed
		{"door.go", " && len(keys) > 1", "", ".", "TestLock"},
		{"door.go", `var Word = "right"`, `var Word = "left"`, ".", "TestLock"}, // in no function
		{"door.go", "return all[0], true", "return all[0], false", ".", "TestFirst"},
		{"door.go", `no such text`, ``, ".", "TestLock"},
	}
	shared := w.shareAll(list, 2)
	for i, alone := range []bool{false, false, false, false, true, true, true} {
		if (shared[i] == "") != alone {
			t.Errorf("%q: alone: %v, expected %v", list[i].find, !alone, alone)
		}
	}
	for i, want := range []error{nil, nil, errSurvived, nil, nil, nil, errText} {
		if err := w.apply(i, list[i], shared[i]); !errors.Is(err, want) {
			t.Errorf("%d: %q: expected %v, found %v", i, list[i].find, want, err)
		}
		if binary := shared[i]; binary != "" {
			if err := w.judge(i, list[i], binary); !errors.Is(err, want) {
				t.Errorf("%d: %q in the shared binary: expected %v, found %v", i, list[i].find, want, err)
			}
		}
	}
	if m := w.shareAll(append(list, mutation{"door.go", check, `if unknown {`, ".", "TestWrongKey"}), 2); len(m) > 0 {
		t.Errorf("one that does not build shares a binary: %v", m)
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
