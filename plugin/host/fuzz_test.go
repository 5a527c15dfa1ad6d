// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

// A line of a log is told as what it is, whatever it is, and controls nothing.
func FuzzParseLine(f *testing.F) {
	for _, seed := range []string{
		"text", `{"level":"INFO","msg":"m","time":"now","a":1,"b":{"c":[null]}}`, `{"level":"fatal","msg":7}`, `{`, `{}`, "\x1b[31m", `{"msg":"\u001b[31m","\u202e":"\u009b"}`,
		`{"level":"DEBUG-9999999999999999999"}`, `{"level":"ERROR+100"}`, `{"a":1,"a":2}`, "\xff\xfe",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		level, text, attrs := parseLine(line)
		if level > slog.LevelError || len(attrs) > maxAttrs || !shown(text, maxLine) {
			t.Errorf("%v %q %v", level, text, attrs)
		}
		for _, a := range attrs {
			if !shown(a.Key, maxName) || !shown(a.Value.String(), maxSentence) {
				t.Errorf("%v", a)
			}
		}
	})
}

// shown reports whether a text may be shown: no longer than three times the limit, because what is replaced becomes longer.
func shown(text string, limit int) bool {
	return utf8.ValidString(text) && len(text) <= 3*limit+3 && !strings.ContainsAny(text, "\x1b\x00\x7f\u009b\u202e")
}

// However the parts fall that are written, the lines are the same.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n\n  c"), 2)
	f.Add(bytes.Repeat([]byte("long"), 3000), 7)
	f.Add([]byte("\n\n\r\nx\x00\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, part int) {
		if part < 1 {
			return
		}
		var whole, parts []string
		write := func(into *[]string, part int) {
			l := &lines{each: func(line []byte) { *into = append(*into, string(line)) }}
			for rest := text; len(rest) > 0; {
				n := min(part, len(rest))
				if w, err := l.Write(rest[:n]); w != n || err != nil {
					t.Fatal(w, err)
				}
				rest = rest[n:]
			}
			l.close()
			if len(l.last) > lastKept || len(l.part) > maxLine {
				t.Errorf("%d lines and %d bytes are kept", len(l.last), len(l.part))
			}
		}
		write(&whole, len(text))
		write(&parts, part)
		if strings.Join(whole, "\n") != strings.Join(parts, "\n") {
			t.Errorf("%q\n%q", whole, parts)
		}
	})
}

// FuzzCapabilities: what a plugin says is refused or can be shown.
func FuzzCapabilities(f *testing.F) {
	for _, seed := range []string{
		`{"protocol":"ocm.software/plugin/v1","name":"n","capabilities":[{"type":"accessMethod","names":["a/v1","a"],"about":"x","fields":[{"name":"b","kind":"text","fields":[]}]}]}`,
		`{"protocol":"x"}`, `[]`, `{"protocol":"ocm.software/plugin/v1","capabilities":[{"type":"\u001b","names":[]},{"names":["\u001b"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := readCapabilities(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, c := range doc.Capabilities {
			if checkType(&c.Type) != nil {
				continue
			}
			for _, name := range c.Names {
				if !isName(name) {
					t.Errorf("%q", name)
				}
			}
			for _, text := range append(c.Notes, c.About) {
				if !shown(text, maxSentence) {
					t.Errorf("%q", text)
				}
			}
		}
	})
}
