// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// logging are the flags of the log. Their names are those of the library that the existing controllers log with.
type logging struct {
	level   string
	encoder string
	devel   bool
}

func (l *logging) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&l.level, "zap-log-level", "", "least severe messages in the log: error, info, debug, or a number as verbosity (`level`; default info; debug with --zap-devel)")
	fs.StringVar(&l.encoder, "zap-encoder", "", "json or console (`format`; default json; console with --zap-devel)")
	fs.BoolVar(&l.devel, "zap-devel", false, "log for people who develop")
	for _, name := range []string{"zap-stacktrace-level", "zap-time-encoding"} {
		fs.String(name, "", "no effect")
		fs.Lookup(name).Hidden = true
	}
}

// maxVerbosity is the highest number that says something: client-go logs whole requests there.
const maxVerbosity = 10

// handler writes the log to w. Levels below info are the negative verbosity of a message, as [logr.FromSlogHandler] has them.
func (l *logging) handler(w io.Writer) (slog.Handler, error) {
	level, err := l.threshold()
	if err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevel}
	encoder := l.encoder
	if encoder == "" {
		encoder = "json"
		if l.devel {
			encoder = "console"
		}
	}
	switch encoder {
	case "json":
		return slog.NewJSONHandler(w, o), nil
	case "console":
		return slog.NewTextHandler(w, o), nil
	}
	return nil, usagef("--zap-encoder %q: expected json or console", l.encoder)
}

func (l *logging) threshold() (slog.Level, error) {
	switch l.level {
	case "":
		if l.devel {
			return slog.LevelDebug, nil
		}
		return slog.LevelInfo, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "error", "panic":
		return slog.LevelError, nil
	}
	n, err := strconv.Atoi(l.level)
	if err != nil || n < 1 || n > maxVerbosity {
		return 0, usagef("--zap-log-level %q: expected error, info, debug, or a number from 1 to %d", l.level, maxVerbosity)
	}
	return slog.Level(-n), nil
}

// nameLevel writes levels in lower case, and all verbosity as debug.
func nameLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 || a.Key != slog.LevelKey {
		return a
	}
	level, ok := a.Value.Any().(slog.Level)
	if !ok {
		return a
	}
	if level < slog.LevelInfo {
		return slog.String(a.Key, "debug")
	}
	return slog.String(a.Key, strings.ToLower(fmt.Sprint(level)))
}
