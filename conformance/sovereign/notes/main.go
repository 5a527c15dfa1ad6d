// SPDX-License-Identifier: Apache-2.0

// Command notes keeps short notes in PostgreSQL and offers them over HTTP, with a page for people. It is one of the two services
// of the product of the sovereign scenario; what its releases differ in stands in release.go.
//
// It is configured by two variables of the environment: DATABASE_URL, a connection string of PostgreSQL (what it leaves out is taken from
// PGHOST, PGUSER, PGPASSWORD and the like, so that it can do without secrets), and PORT, 8080 by default. A database that
// does not answer yet is waited for: the process lives on, and /readyz says what is missing.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// version is linked in: -ldflags '-X main.version=1.0.0'.
var version = "0.0.0-dev"

const (
	defaultPort    = "8080"
	maxHeader      = 16 << 10         // bytes of the header of a request
	headerTimeout  = 5 * time.Second  // for the header of a request
	requestTimeout = 15 * time.Second // for a whole request, and for its answer
	idleTimeout    = time.Minute      // of a connection between requests
	graceTimeout   = 15 * time.Second // for requests that are under way when the process shall end
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("version", version)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, os.Getenv("DATABASE_URL"), os.Getenv("PORT")); err != nil {
		log.Error("notes ends", "error", err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends. Its errors are those of the configuration and of listening, never of the database.
func run(ctx context.Context, log *slog.Logger, url, port string) error {
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("PORT is %q; it must be a number from 1 to 65535", port)
	}
	s, err := openStore(url, releaseOf(version))
	if err != nil {
		return err
	}
	defer s.close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
	if err != nil {
		return err
	}
	return serve(ctx, l, newServer(s, log))
}

// serve answers on l until ctx ends, and then finishes what was begun.
func serve(ctx context.Context, l net.Listener, s *server) error {
	h := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	prepared := make(chan struct{})
	go func() {
		defer close(prepared)
		s.prepare(ctx)
	}()
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	s.log.Info("notes listens", "address", l.Addr().String())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	err := h.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, h.Close())
	}
	<-prepared
	s.log.Info("notes has ended")
	return err
}
