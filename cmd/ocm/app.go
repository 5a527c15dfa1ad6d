// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/config"
	"ocm/plugin/host"
	shared "ocm/session"
)

// Bounds of --parallel.
const (
	defaultParallel = 16
	maxParallel     = 64
)

// app is what all commands share: the streams, the surroundings and the global flags.
type app struct {
	in     io.Reader
	out    io.Writer // results, nothing else
	err    *screen   // log, progress and errors
	getenv func(string) string
	args   []string
	now    func() time.Time
	ctx    context.Context // of the command: it ends when that is interrupted; nil: never
	atExit []func()

	global globalFlags
}

type globalFlags struct {
	config     []string
	configSets []string
	logFormat  string
	logLevel   string
	logOutput  string
	tempFolder string
	workingDir string
	plugins    []string
	shutdown   time.Duration
	quiet      bool
	sync       bool
	progress   string
	parallel   int
}

func (g *globalFlags) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&g.config, "config", nil, "read only this configuration `file`; may be repeated, later files win")
	fs.StringArrayVar(&g.configSets, "config-set", nil, "let this `set` of the configuration count too; may be repeated")
	addEnum(fs, &g.logFormat, "logformat", "", "format of the log", "text", "json")
	addEnum(fs, &g.logLevel, "loglevel", "", "least severe messages in the log", "info", "debug", "warn", "error")
	addEnum(fs, &g.logOutput, "logoutput", "", "where the log goes", "stderr", "stdout")
	fs.StringVar(&g.tempFolder, "temp-folder", "", "`folder` for temporary files (default: the system's)")
	fs.StringVar(&g.workingDir, "working-directory", "", "base `folder` of relative paths in constructor files (default: that of the file)")
	fs.StringArrayVar(&g.plugins, "plugin-directory", nil, "look for plugins in this `folder` only; may be repeated (default: as configured, or $HOME/.config/ocm/plugins)")
	fs.DurationVar(&g.shutdown, "plugin-shutdown-timeout", host.ShutdownTimeout, "kill plugins that have not ended this `time` after they were told to")
	addEnum(fs, &g.progress, "progress", "", "how progress is shown on stderr: auto draws on a terminal and writes lines elsewhere", "auto", "lines", "json", "none")
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "show no progress (--progress none)")
	fs.BoolVar(&g.sync, "sync", false, "wait until the disk has what is written to an archive: before unplugging it")
	fs.IntVar(&g.parallel, "parallel", defaultParallel, "do at most this `number` of things at once")
	fs.BoolP("help", "h", false, "show the help of the command")
}

// check finds mistakes in the global flags before any command begins.
func (g *globalFlags) check() error {
	if g.parallel < 1 || g.parallel > maxParallel {
		return usagef("--parallel %d: expected a number from 1 to %d", g.parallel, maxParallel)
	}
	if g.shutdown <= 0 {
		return usagef("--plugin-shutdown-timeout %s: expected more than 0", g.shutdown)
	}
	for _, f := range [...]struct{ flag, dir string }{{"--temp-folder", g.tempFolder}, {"--working-directory", g.workingDir}} {
		if f.dir == "" {
			continue
		}
		if info, err := os.Stat(f.dir); err != nil {
			return usagef("%s: %w", f.flag, err)
		} else if !info.IsDir() {
			return usagef("%s %s: not a folder", f.flag, f.dir)
		}
	}
	return nil
}

// host is what flags say of plugins.
func (a *app) host() *host.Options {
	o := &host.Options{Shutdown: a.global.shutdown, Context: a.ctx}
	for _, dir := range a.global.plugins {
		if abs, err := filepath.Abs(dir); err == nil && !strings.HasPrefix(dir, "~") && !strings.HasPrefix(dir, "$") {
			dir = abs
		}
		o.Dirs = append(o.Dirs, dir)
	}
	return o
}

// logger writes to the stream that was asked for.
func (a *app) logger() *slog.Logger {
	var w io.Writer = a.err
	if a.global.logOutput == "stdout" {
		w = a.out
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.global.logLevel)); err != nil {
		level = slog.LevelInfo // the flag accepts nothing else; a zero app logs like this
	}
	options := &slog.HandlerOptions{Level: level}
	if a.global.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// session is one run of a command that works on repositories.
type session struct {
	*shared.Session
	app    *app
	env    *ocm.Env
	kit    *ocm.Kit
	config *config.Config
	keys   *keyWatch // what env.Credentials is
}

// session reads the configuration and prepares the environment of a command.
func (a *app) session() (*session, error) {
	env := &ocm.Env{
		Dir:     a.global.workingDir,
		Temp:    a.global.tempFolder,
		Now:     a.now,
		Log:     a.logger(),
		Job:     ocm.NewJob(a.global.parallel),
		Durable: a.global.sync,
	}
	if !a.global.quiet && a.global.progress != "none" {
		a.err.json = a.global.progress == "json"
		a.err.terminal = a.err.terminal && a.global.progress != "lines"
		env.Report = a.err.showProgress(time.Now)
	}
	s := &session{app: a, env: env, kit: a.kit()}
	return s, s.configure()
}

// close closes what was opened; what fails is told in the log.
func (s *session) close() { _ = s.Close() }

// open opens a repository, each once; the session closes it.
func (s *session) open(ctx context.Context, typ, location string) (ocm.Repository, error) {
	spec, err := s.specOf(typ, location)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, spec)
}

// openSource opens a repository that is read.
func (s *session) openSource(ctx context.Context, typ, location string) (ocm.Repository, error) {
	if isPipe(typ, location) {
		return s.openStdin()
	}
	spec, err := s.specOf(typ, location)
	if err != nil {
		return nil, err
	}
	return s.Existing(ctx, spec)
}

// openVersion opens the version that a reference names; by its digest, where there is one.
func (s *session) openVersion(ctx context.Context, c ocm.Coordinates) (ocm.Repository, ocm.Version, error) {
	var v ocm.Version
	list, err := s.wanted(ctx, c, "", false, nil)
	if err == nil {
		v, err = list[0].in.Open(ctx, c.Component, list[0].ref)
	}
	if err == nil {
		err = checkFound(c, v)
	}
	if err != nil {
		return nil, nil, withHint(err, s.findHint(ctx, err, c))
	}
	return list[0].in, v, nil
}

// checkFound makes sure that a version opened by digest is the one that was named.
func checkFound(c ocm.Coordinates, v ocm.Version) error {
	if got := v.Manifest().Digest; c.Digest != "" && got != c.Digest {
		return fmt.Errorf("%s: expected the manifest %s, found %s: %w", c, c.Digest, got, ocm.ErrDigest)
	}
	found := v.Descriptor().Component
	if found.Name != c.Component || c.Version != "" && found.Version != c.Version {
		return fmt.Errorf("%s: expected %s:%s, found %s:%s: %w", c, c.Component, c.Version, found.Name, found.Version, ocm.ErrDigest)
	}
	return nil
}
