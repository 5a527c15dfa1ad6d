// SPDX-License-Identifier: Apache-2.0

// Package plugin makes an executable of any implementation of the interfaces of package ocm, so that ocm can use it without having been
// built with it:
//
//	func main() {
//		kit := ocm.NewKit()
//		kit.Access.Register(method, ocm.Type{Names: []string{"mine/v1"}, About: "…"})
//		plugin.Main(plugin.About{Name: "mine", Version: "1.0.0"}, kit)
//	}
//
// What the implementation is given is what it would be given in the process: an [ocm.Env] whose credentials and whose contents are those
// of the host. PROTOCOL.md, in this folder, says what goes over the wire; package plugin/host is the other side.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ocm"
	"ocm/plugin/wire"
)

// About says what a plugin is.
type About struct {
	Name    string // as in messages
	Version string
	About   string // one sentence
}

// Main does what the host asks for, and ends the process. A plugin's main function calls nothing else. What the kit has must be
// registered with a description ([ocm.Registry.Register]).
func Main(about About, kit *ocm.Kit) {
	os.Exit(run(about, kit, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

func run(about About, kit *ocm.Kit, args []string, getenv func(string) string, in io.Reader, out, errOut io.Writer) int {
	log := slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: slog.LevelDebug}))
	switch {
	case len(args) == 1 && args[0] == "capabilities":
		if err := json.MarshalWrite(out, Capabilities(about, kit), jsontext.Multiline(true)); err != nil {
			fmt.Fprintln(errOut, err)
			return 1
		}
		fmt.Fprintln(out)
		return 0
	case len(args) > 0 || getenv(wire.PluginSocket) == "":
		fmt.Fprintf(errOut, "%s %s is a plugin of ocm, and is started by it: install it with \"ocm plugin install\"\n\"%s capabilities\" prints what it can do\n",
			about.Name, about.Version, os.Args[0])
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, kit, log, getenv(wire.PluginSocket), getenv(wire.HostSocket), in, out); err != nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

// serve listens until the host has gone: it holds the other end of the standard input.
func serve(ctx context.Context, kit *ocm.Kit, log *slog.Logger, socket, host string, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end is what counts
		stop()
	}()
	if _, err := fmt.Fprintln(out, wire.Protocol); err != nil {
		return err
	}
	err = wire.Serve(ctx, l, Handler(kit, log, wire.NewClient(host)))
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Capabilities describes what a kit has.
func Capabilities(about About, kit *ocm.Kit) wire.Capabilities {
	doc := wire.Capabilities{Protocol: wire.Protocol, Name: about.Name, Version: about.Version, About: about.About}
	for _, k := range []struct {
		kind  string
		types []ocm.Type
	}{
		{wire.AccessMethod, kit.Access.Types()},
		{wire.Input, kit.Inputs.Types()},
		{wire.Repository, kit.Repositories.Types()},
		{wire.Uploader, kit.Uploaders.Types()},
		{wire.Transformer, kit.Transformers.Types()},
		{wire.Signer, kit.Signers.Types()},
		{wire.Verifier, kit.Verifiers.Types()},
		{wire.CredentialSource, kit.Secrets.Types()},
	} {
		for _, t := range k.types {
			doc.Capabilities = append(doc.Capabilities, wire.Capability{Kind: k.kind, Type: t})
		}
	}
	return doc
}
