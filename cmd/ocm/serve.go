// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
	server "ocm/serve"
)

const serveLong = `Offer an archive as an OCI registry: a folder, or a tar file as it is, without unpacking it.
ocm, Kubernetes, Flux, helm, skopeo and all that speaks the OCI distribution
specification 1.1 pull from it. So a place without a registry starts from the archive alone.

A folder takes pushes too, with --writable; a folder that is not there is made,
and several processes may use it meanwhile. A push that is not complete when this ends is
lost, and nothing else. A compressed archive cannot be entered in the middle: uncompress it first.

Manifests are compared with their digests before they are sent; who pulls compares the rest.
Without --htpasswd everybody who reaches the address may come in. The file has lines of name, colon
and bcrypt hash: "htpasswd -cB users NAME" makes one (Debian: apache2-utils), and "mkpasswd -m bcrypt"
the hash alone (Debian: whois). Passwords go over TLS, or to an address of this computer alone.

When it is ready, the address is written to standard output, as a line or as an object
with url, archive and writable. --loglevel debug shows the requests. Ctrl-C ends it.`

const serveExample = `  # a tar file as it is, on a port that is free
  ocm serve ./archive.tar --address 127.0.0.1:0

  # a registry to push to, for those who have a password
  ocm serve ./archive --writable --address 127.0.0.1:0 --htpasswd users --tls-cert server.crt --tls-key server.key`

type serveOptions struct {
	address      string
	writable     bool
	cert, key    string
	htpasswd     string
	insecureAuth bool
	output       string
}

func (o *serveOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.address, "address", "127.0.0.1:5000", "`host:port` to listen at; port 0: any that is free")
	fs.BoolVar(&o.writable, "writable", false, "let clients push and delete; for folders")
	fs.StringVar(&o.cert, "tls-cert", "", "certificate `file` (PEM, with those above it); it is read again when it changes")
	fs.StringVar(&o.key, "tls-key", "", "`file` of the private key of --tls-cert")
	fs.StringVar(&o.htpasswd, "htpasswd", "", "`file` of those who may come in")
	fs.BoolVar(&o.insecureAuth, "insecure-auth", false, "let passwords go over the network without TLS")
	addEnum(fs, &o.output, "output", "o", "what tells that it is ready", "text", "json")
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve <archive> [flags]",
		Short:   "Offer an archive as an OCI registry",
		Long:    serveLong,
		Example: serveExample,
		Args:    arguments("<archive>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runServe(cmd.Context(), a, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// served is what is told when the registry is ready.
type served struct {
	URL      string `json:"url"`
	Archive  string `json:"archive"`
	Writable bool   `json:"writable"`
}

// check finds wrong values before anything is opened.
func (o serveOptions) check(ctx context.Context) error {
	if (o.cert == "") != (o.key == "") {
		return usagef("--tls-cert and --tls-key belong together")
	}
	_, port, err := net.SplitHostPort(o.address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(ctx, "tcp", port) // a number, or the name of a service
	}
	if err != nil {
		return usagef("--address %s: expected host:port, such as 127.0.0.1:5000, or :5000 for all addresses", o.address)
	}
	return nil
}

func runServe(ctx context.Context, a *app, o serveOptions, archive string) error {
	if err := o.check(ctx); err != nil {
		return err
	}
	store, err := openServed(archive, o.writable)
	if err != nil {
		return err
	}
	defer store.Close()
	if a.global.sync {
		store.Durable()
	}
	options := server.Options{Writable: o.writable, Log: a.logger()}
	if o.htpasswd != "" {
		users, err := readUsers(o.htpasswd)
		if err != nil {
			return err
		}
		options.Users = users
	}
	tlsConfig, err := o.tls()
	if err != nil {
		return err
	}
	on, err := net.Listen("tcp", o.address)
	if err != nil {
		return fmt.Errorf("--address: %w", err)
	}
	defer on.Close()
	if err := o.checkOpen(a, on.Addr()); err != nil {
		return err
	}
	registry := server.Handler(store, options)
	defer registry.Close()
	if err := o.announce(ctx, a, store, on.Addr()); err != nil {
		return err
	}
	return server.Run(ctx, on, registry, tlsConfig, options.Log)
}

// openServed opens what can be offered: a folder, or a tar archive to be read.
func openServed(path string, writable bool) (*ctf.Store, error) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := noArchive(path, "a folder or a tar file of this computer; --writable makes a new folder"); !writable || isUsage(err) {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("archive %s: %w", path, err)
	case fi.IsDir():
		if err := checkServedFolder(path, writable); err != nil {
			return nil, err
		}
	case fi.Mode().IsRegular(): // what else it may be, opening it tells
		if err := checkServedFile(path, writable); err != nil {
			return nil, err
		}
	}
	store, err := ctf.Open(path)
	if err != nil {
		return nil, err
	}
	if _, archive := store.Feeder(); archive && writable { // a new one, by its name
		store.Close()
		return nil, usagef("--writable %s: only a folder can be pushed to: leave out the ending", path)
	}
	return store.Standing(), nil
}

// noArchive tells what was given in place of a path, if nothing is there: what other commands take. What this one takes is expected.
func noArchive(path, expected string) error {
	_, notOne := ocm.ParseCoordinates(path)
	typ, location, _ := ocm.ParseRepository(path)
	switch {
	case path == "":
		return usagef("the name of the archive is empty: expected %s", expected)
	case notOne == nil:
		return usagef("%s: it names a component, and not the archive alone: expected %s", path, expected)
	case strings.Contains(path, "://"):
		// The address is not repeated: it may carry a password.
		return usagef("it is an address, and not an archive of this computer: expected %s", expected)
	case isPipe(typ, location):
		return usagef("%s: standard input is not read: expected %s", path, expected)
	case typ == ocm.CTFType && strings.Contains(path, "::"):
		return usagef("%s: it names a type, and not the archive alone: expected %s", path, expected)
	}
	return fmt.Errorf("archive %s: %w: expected %s", path, ocm.ErrNotFound, expected)
}

// checkServedFolder refuses folders that are no archives. To be pushed to, an empty one is fine.
func checkServedFolder(path string, writable bool) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	for _, e := range entries {
		if e.Name() == "artifact-index.json" {
			return nil
		}
	}
	if writable && len(entries) == 0 {
		return nil
	}
	err = fmt.Errorf("archive %s: %w", path, ctf.ErrNoIndex)
	if writable {
		return withHint(err, "name an archive, an empty folder, or one that is still to be made")
	}
	return err
}

// checkServedFile looks at the first bytes: a compressed archive would have to be read from its beginning for every blob.
func checkServedFile(path string, writable bool) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that has taken its place lets nobody wait
	if err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	defer f.Close()
	var head [4]byte
	if _, err := io.ReadFull(f, head[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	switch {
	case head[0] == 0x1f && head[1] == 0x8b:
		return usagef("%s is compressed, and cannot be entered in the middle: uncompress it first (gunzip <%s >plain.tar) and serve plain.tar", path, path)
	case head == [4]byte{0x28, 0xb5, 0x2f, 0xfd}:
		return usagef("%s is compressed, and cannot be entered in the middle: uncompress it first (unzstd <%s >plain.tar) and serve plain.tar", path, path)
	case writable:
		return usagef("--writable %s: only a folder can be pushed to: unpack it (mkdir archive; tar -C archive -xf %s) and serve the folder", path, path)
	}
	return nil
}

func readUsers(path string) (*server.Htpasswd, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--htpasswd: %w", err)
	}
	defer f.Close()
	users, err := server.ReadHtpasswd(f)
	if err != nil {
		return nil, fmt.Errorf("--htpasswd %s: %w", path, err)
	}
	return users, nil
}

// checkOpen refuses to let passwords go over a network in clear text.
func (o serveOptions) checkOpen(a *app, at net.Addr) error {
	tcp, ok := at.(*net.TCPAddr)
	local := ok && tcp.IP.IsLoopback()
	switch {
	case o.htpasswd != "" && o.cert == "" && !local && !o.insecureAuth:
		return usagef("--htpasswd at %s without TLS: passwords could be read on their way; add --tls-cert and --tls-key, or --insecure-auth if the network is safe", at)
	case o.htpasswd == "" && o.writable && !local:
		fmt.Fprintf(a.err, "Everybody who reaches %s may push and delete: --htpasswd names those who may.\n", at)
	}
	return nil
}

// announce tells what is served, how to pull from it, and that it is ready.
func (o serveOptions) announce(ctx context.Context, a *app, store *ctf.Store, at net.Addr) error {
	s := served{URL: o.url(at), Archive: store.String(), Writable: o.writable}
	mode := "read-only"
	if o.writable {
		mode = "writable"
	}
	found, example := 0, ""
	for name, err := range store.Repos(ctx) {
		if err != nil {
			return err
		}
		found++
		if example == "" {
			example = exampleOf(ctx, store, name)
		}
	}
	repositories := fmt.Sprintf("%d repositories", found)
	if found == 1 {
		repositories = "1 repository"
	}
	fmt.Fprintf(a.err, "Serving %s (%s, %s) at %s\n", clean(s.Archive, false), mode, repositories, s.URL)
	if example != "" {
		fmt.Fprintf(a.err, "  ocm get cv %s//%s\n", s.URL, clean(example, false))
	}
	if o.output == "json" {
		raw, err := jsonv2.Marshal(s)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s\n", raw)
		return err
	}
	_, err := fmt.Fprintln(a.out, s.URL)
	return err
}

// exampleOf is a component version that is in a repository, if one is.
func exampleOf(ctx context.Context, store *ctf.Store, name string) string {
	component, ok := strings.CutPrefix(name, oci.DescriptorPrefix)
	if !ok {
		return ""
	}
	for v, err := range oci.NewRepository(store, &ocm.Env{}).Versions(ctx, component) {
		if err != nil {
			return ""
		}
		return component + ":" + v
	}
	return ""
}

// url is where clients find the registry. An address that stands for all of this computer has its name.
func (o serveOptions) url(at net.Addr) string {
	scheme := "http"
	if o.cert != "" {
		scheme = "https"
	}
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return scheme + "://" + at.String()
	}
	host := tcp.IP.String()
	if name, err := os.Hostname(); tcp.IP.IsUnspecified() && err == nil {
		host = name
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// tls is nil for plain HTTP.
func (o serveOptions) tls() (*tls.Config, error) {
	if o.cert == "" {
		return nil, nil
	}
	k := &keyPair{cert: o.cert, key: o.key}
	if _, err := k.get(nil); err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", o.cert, o.key, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.get}, nil
}

// keyPair is a certificate whose files are replaced now and then.
type keyPair struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	of     [2]time.Time // of the files when they were read
}

// get returns the pair as it is in the files; the one before while what is there does not fit together.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var now [2]time.Time
	for i, name := range [...]string{k.cert, k.key} {
		if fi, err := os.Stat(name); err == nil {
			now[i] = fi.ModTime()
		}
	}
	if k.loaded != nil && now == k.of {
		return k.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil && k.loaded == nil {
		return nil, err
	}
	if err == nil {
		k.loaded, k.of = &pair, now
	}
	return k.loaded, nil
}
