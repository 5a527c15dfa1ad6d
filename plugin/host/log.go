// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm/plugin/wire"
)

// Limits of what a plugin writes.
const (
	maxLine  = 4096 // bytes of a line, the rest is left out
	maxAttrs = 16   // members of a line in JSON
	lastKept = 8    // lines that are shown when it ends
	maxShown = 300  // bytes of each of these
	logBurst = 500  // lines at once
	logRate  = 50   // lines per second after these
)

// lines takes what is written apart, and keeps the last lines.
type lines struct {
	each func(line []byte) // called with each line; nil: nobody listens

	mu    sync.Mutex
	part  []byte // of a line that has not ended
	last  []string
	cause string // the line by which a Go program says why it ends, long before the last
}

// Write never fails: who writes must not wait, and not be told.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		l.part = append(l.part, line[:min(len(line), maxLine-len(l.part))]...)
		if ended {
			l.end()
		}
		b = rest
	}
	return n, nil
}

// end is called where a line ends.
func (l *lines) end() {
	line := bytes.TrimSpace(l.part)
	l.part = l.part[:0]
	if len(line) == 0 {
		return
	}
	if l.last = append(l.last, string(line)); len(l.last) > lastKept {
		l.last = slices.Delete(l.last, 0, 1)
	}
	if isCrash(line) {
		l.cause = string(line)
	}
	if l.each != nil {
		l.each(line)
	}
}

// isCrash reports whether a Go program ends with this line, and the stacks of all that it did. The last word is that of one that gets no
// thread more.
func isCrash(line []byte) bool {
	for _, begin := range []string{"fatal error: ", "panic: ", "runtime/cgo: "} {
		if bytes.HasPrefix(line, []byte(begin)) {
			return true
		}
	}
	return false
}

// close ends the last line.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
}

// String is what an error tells of the last lines.
func (l *lines) String() string {
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("; it wrote last:")
	shown := l.last
	if l.cause != "" && !slices.Contains(shown, l.cause) {
		shown = append([]string{l.cause, "…"}, shown...)
	}
	for _, line := range shown {
		_, text, _ := parseLine([]byte(line))
		fmt.Fprintf(&b, "\n  %s", wire.Text(strings.ReplaceAll(text, "\n", " "), maxShown))
	}
	return b.String()
}

// logger passes lines on to the log, as many as a person may want to read.
type logger struct {
	log     *slog.Logger // with the plugin's name
	left    float64
	at      time.Time
	dropped int
	crashed bool
}

func newLogger(log *slog.Logger) *logger { return &logger{log: log, left: logBurst, at: time.Now()} }

func (l *logger) line(line []byte) {
	now := time.Now()
	l.left = min(logBurst, l.left+now.Sub(l.at).Seconds()*logRate)
	l.at = now
	if l.left < 1 {
		l.dropped++
		return
	}
	l.left--
	l.tellDropped()
	level, text, attrs := parseLine(line)
	if l.crashed {
		level = slog.LevelDebug
	}
	l.crashed = l.crashed || isCrash(line)
	l.log.LogAttrs(context.Background(), level, text, attrs...)
}

func (l *logger) tellDropped() {
	if l.dropped > 0 {
		l.log.Warn("the plugin writes more than is shown", "lines", l.dropped)
		l.dropped = 0
	}
}

// parseLine reads a line of a log: JSON as package slog writes it, or text. Nothing in what it returns controls a terminal.
func parseLine(line []byte) (slog.Level, string, []slog.Attr) {
	var members map[string]any
	if line[0] != '{' || json.Unmarshal(line, &members) != nil {
		return slog.LevelInfo, wire.Text(string(line), maxLine), nil
	}
	message, _ := members[slog.MessageKey].(string)
	level, _ := members[slog.LevelKey].(string)
	for _, key := range []string{slog.MessageKey, slog.LevelKey, slog.TimeKey} {
		delete(members, key)
	}
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if len(attrs) == maxAttrs {
			break
		}
		text, ok := members[key].(string)
		if !ok {
			raw, _ := json.Marshal(members[key], json.Deterministic(true)) // it was read from JSON
			text = string(raw)
		}
		attrs = append(attrs, slog.String(wire.Text(key, maxName), wire.Text(text, maxSentence)))
	}
	return levelOf(level), wire.Text(message, maxLine), attrs
}

// levelOf reads the name of a level, as several libraries write it.
func levelOf(name string) slog.Level {
	var level slog.Level
	switch strings.ToLower(name) {
	case "trace":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "fatal", "panic", "critical":
		return slog.LevelError
	}
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return min(level, slog.LevelError)
}
