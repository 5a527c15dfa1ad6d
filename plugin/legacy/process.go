// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/config"
)

// instance is a process of a plugin, started when it is needed and again when it has ended.
type instance struct {
	plugin *Plugin
	greet  func(context.Context, *process) // what a new process is told first; nil: nothing
	turn   chan struct{}                   // held while now is looked at
	now    *process
	over   bool          // it is not started any more
	users  int           // guarded by the plugin's mutex
	commit chan struct{} // held by a commit, so that those of one host do not overtake each other
}

// process is a plugin that runs.
type process struct {
	Process
	id     string
	dir    string // for its temporary files
	socket string // empty: none
	base   string // of URLs
	client *http.Client
}

// process returns one that runs.
func (i *instance) process(ctx context.Context) (*process, error) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if i.now != nil {
		select {
		case <-i.now.Ended():
			i.now.cleanUp()
			i.now = nil
		default:
			return i.now, nil
		}
	}
	if i.over {
		return nil, errClosed
	}
	p, err := i.plugin.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if i.now = p; i.greet != nil {
		i.greet(ctx, p)
	}
	return p, nil
}

// close ends the process for good.
func (i *instance) close() {
	i.turn <- struct{}{}
	defer func() { <-i.turn }()
	i.over = true
	if i.now != nil {
		i.now.end()
		i.now = nil
	}
}

// end ends the process and what it has left behind.
func (p *process) end() {
	if p.client != nil {
		p.client.CloseIdleConnections() // which it would wait for
	}
	p.Stop()
	p.cleanUp()
}

func (p *process) cleanUp() {
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	_ = os.RemoveAll(p.dir)
	if strings.Contains(filepath.Base(p.socket), p.id) { // nobody else's: the name is random
		_ = os.Remove(p.socket)
		_ = os.Remove(p.socket + ".lock")
	}
}

// handshake is what such a plugin is started with.
type handshake struct {
	ID          string     `json:"id"`
	Type        string     `json:"type"`
	PluginType  string     `json:"pluginType"`
	IdleTimeout int64      `json:"idleTimeout"` // ns
	ConfigTypes []ocm.Spec `json:"configTypes,omitempty"`
}

// maxIDName bounds what of a plugin's name is in the name of its socket: paths of sockets have about a hundred bytes.
const maxIDName = 24

// newID is the name that a process gets. It is random, because such plugins make the name of their socket of it, in a folder that everybody
// may write to: two hosts must not meet there, and nobody may be there first.
func newID(name string) string {
	return name[:min(len(name), maxIDName)] + "-" + strings.ToLower(rand.Text()[:16])
}

// start starts a process and waits until it answers.
func (p *Plugin) start(ctx context.Context) (*process, error) {
	r := &process{id: newID(p.name)}
	raw, err := json.Marshal(handshake{ID: r.id, Type: "unix", IdleTimeout: int64(p.o.Idle), ConfigTypes: p.entries()})
	if err != nil {
		return nil, err
	}
	if r.dir, err = r.folder(p.o.Temp); err != nil {
		return nil, err
	}
	if r.Process, err = p.o.Start([]string{"--config", string(raw)}, []string{"TMPDIR=" + r.dir}); err != nil {
		_ = os.RemoveAll(r.dir)
		return nil, err
	}
	address, err := r.address(ctx)
	if err == nil {
		err = r.connect(address)
	}
	if err == nil {
		err = r.healthy(ctx)
	}
	if err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// maxSocketPath is how long the path of a socket may be, in bytes, on every system.
const maxSocketPath = 100

// folder makes one for temporary files, where a socket has room too: some plugins put theirs there.
func (p *process) folder(temp string) (string, error) {
	name := len("/ocm-1234567890/" + p.id + "-plugin.socket")
	for _, shared := range append([]string{cmp.Or(temp, os.TempDir())}, sharedFolders()...) {
		if len(shared)+name <= maxSocketPath {
			return os.MkdirTemp(shared, "ocm-") // 0700
		}
	}
	return os.MkdirTemp(temp, "ocm-") // 0700
}

// address waits for the line that says where it listens, and reads over all others.
func (p *process) address(ctx context.Context) (string, error) {
	found := make(chan string, 1)
	go func() {
		defer close(found)
		out := bufio.NewReader(io.LimitReader(p.Output(), MaxOutput))
		for {
			line, err := out.ReadString('\n')
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "http+unix://") || strings.HasPrefix(line, "http://") {
				found <- line
				break
			}
			if err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, p.Output()) // so that it never waits for a reader
	}()
	select {
	case line, ok := <-found:
		if ok {
			return line, nil
		}
		return "", fmt.Errorf("it has not said where it listens, on its standard output, before that ended or had %d bytes: %w", MaxOutput, ocm.ErrInvalid)
	case <-time.After(StartTimeout):
		return "", fmt.Errorf("it has not said where it listens: %w", context.DeadlineExceeded)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// connect makes the client of an address. Questions carry credentials, so that an address elsewhere is refused.
func (p *process) connect(address string) error {
	network, at := "unix", ""
	if path, ok := strings.CutPrefix(address, "http+unix://"); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("it listens at %q: expected an absolute path: %w", shown(address), ocm.ErrInvalid)
		}
		p.base, p.socket, at = "http://unix", path, path
	} else {
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("it listens at %q: %w", shown(address), ocm.ErrInvalid)
		}
		if network, at, err = loopback(u.Host); err != nil {
			return fmt.Errorf("it listens at %q: %w", shown(address), err)
		}
		p.base = "http://" + at
	}
	d := net.Dialer{Timeout: StartTimeout}
	p.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, network, at) },
			DisableCompression:     true,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// loopback is host:port of this computer. One that listens everywhere is asked here.
func loopback(host string) (network, address string, err error) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return "", "", fmt.Errorf("expected host:port: %w", ocm.ErrInvalid)
	}
	if name == "" || name == "localhost" {
		name = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(name)
	switch {
	case err != nil || !ip.IsLoopback() && !ip.IsUnspecified():
		return "", "", fmt.Errorf("expected an address of this computer, because it gets credentials: %w", ocm.ErrDenied)
	case ip.IsUnspecified() && ip.Is4():
		name = "127.0.0.1"
	case ip.IsUnspecified():
		name = "::1"
	}
	return "tcp", net.JoinHostPort(name, port), nil
}

// healthInterval is how often a new process is asked whether it answers.
const healthInterval = 100 * time.Millisecond

// healthy waits until it answers, whatever it answers.
func (p *process) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, HealthTimeout, fmt.Errorf("it does not answer where it says that it listens: %w", context.DeadlineExceeded))
	defer cancel()
	again := time.NewTicker(healthInterval)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := p.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			return nil
		}
		select {
		case <-again.C:
		case <-p.Ended():
			return errors.New("it has ended before it answered")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// secretTypes are the entries of the configuration that hold the user's secrets. No plugin is given them, whatever it names: it asks for those
// that it needs, and an argument, which is how entries get to such plugins, everybody on this computer can read.
var secretTypes = []string{config.CredentialsType, config.MemoryType, config.KeysType}

// entries are those of the configuration that the plugin names.
func (p *Plugin) entries() []ocm.Spec {
	var out []ocm.Spec
	for _, s := range p.o.Entries {
		base, _, _ := strings.Cut(s.Type, "/")
		if slices.Contains(p.doc.configTypes, s.Type) && !slices.Contains(secretTypes, base) {
			out = append(out, s)
		}
	}
	return out
}

// configured refuses a plugin that needs an entry of the configuration that is not there, as the existing host does.
func (p *Plugin) configured() error {
	if len(p.doc.configTypes) > 0 && len(p.entries()) == 0 {
		return fmt.Errorf("it needs an entry of the type %s in the configuration (credentials and keys are given to no plugin): %w", shown(strings.Join(p.doc.configTypes, " or ")), ocm.ErrNotFound)
	}
	return nil
}
