// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/internal/plugintest"
	"ocm/plugin/host"
)

// What a plugin does that means no good is ended, or has no effect: the host goes on, names it, and nothing of it remains.

// place is a host with plugins, and what it leaves behind.
type place struct {
	host *host.Host
	kit  *ocm.Kit
	log  *logs
	dir  string
}

// logs is a log that tests read.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newPlace has the plugins of these names, and what may be said of all of them.
func newPlace(t *testing.T, o host.Options, each config.Plugin, names ...string) *place {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("limits and groups of processes are those of Linux")
	}
	p := &place{log: &logs{}, dir: plugintest.Dir(t, names...)}
	temp, err := os.MkdirTemp("", "h")
	if err != nil {
		t.Fatal(err)
	}
	o.Dirs, o.Temp, o.Log = append(o.Dirs, p.dir), temp, slog.New(slog.NewTextHandler(p.log, nil))
	if o.Memory == 0 {
		o.Memory = plugintest.Memory
	}
	o.Plugins = map[string]config.Plugin{}
	for _, name := range names {
		o.Plugins[name] = each
	}
	p.host, p.kit = host.New(o), ocm.NewKit()
	p.host.Attach(p.kit)
	t.Cleanup(func() {
		p.host.Close()
		p.nothingLeft(t, temp)
	})
	return p
}

// nothingLeft looks for processes and folders.
func (p *place) nothingLeft(t *testing.T, temp string) {
	t.Helper()
	if left := processes(p.dir); len(left) > 0 {
		t.Errorf("processes go on: %v", left)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("files remain: %v %v", left, err)
	}
	os.RemoveAll(temp)
}

// processes are those whose program lies in a folder.
func processes(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range all {
		if path, err := os.Readlink(exe); err == nil && strings.HasPrefix(path, dir+"/") {
			found = append(found, filepath.Base(filepath.Dir(exe)))
		}
	}
	return found
}

// open opens the content that a plugin makes for a specification.
func (p *place) open(ctx context.Context, typ, text string) (ocm.Content, error) {
	return p.openIn(ctx, &ocm.Env{}, typ, text)
}

func (p *place) openIn(ctx context.Context, env *ocm.Env, typ, text string) (ocm.Content, error) {
	method, err := p.kit.Access.For(typ)
	if err != nil {
		return ocm.Content{}, err
	}
	spec, err := ocm.NewSpec(map[string]string{"type": typ, "text": text})
	if err != nil {
		return ocm.Content{}, err
	}
	return method.Open(ctx, env, spec)
}

// works makes sure that another plugin is not impaired.
func (p *place) works(t *testing.T) {
	t.Helper()
	c, err := p.open(t.Context(), "echo", "hello")
	if err != nil {
		t.Fatalf("another plugin: %v", err)
	}
	if text, err := blob.ReadAll(t.Context(), c.From, c.Root, 100); err != nil || string(text) != "hello" {
		t.Fatalf("another plugin: %q %v", text, err)
	}
}

// bad makes sure that an error is of a kind, says each of the parts, and controls no terminal.
func bad(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Fatalf("expected %v, found %v", kind, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("expected an error that says %q, found %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "\x1b") {
		t.Errorf("it controls the terminal: %q", err)
	}
}

// patience is short with those that hang, and long with all others: the machine may have other work.
func patience(text string) time.Duration {
	if strings.HasPrefix(text, "hang") {
		return 5 * time.Second
	}
	return time.Minute
}

// In its calls a plugin answers as the text of the specification says.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for text, want := range map[string]struct {
		kind error
		part string
	}{
		"hang":                        {context.DeadlineExceeded, "no progress for 5s"},
		"nonsense":                    {ocm.ErrInvalid, "/v1/open"},
		"other status":                {ocm.ErrInvalid, "418"},
		"huge":                        {ocm.ErrLimit, "bytes"},
		"exit":                        {nil, "exit status 3"},
		"escape":                      {ocm.ErrDenied, "red"},
		"no type":                     {ocm.ErrInvalid, "media type"},
		"negative":                    {ocm.ErrInvalid, "bytes"},
		"bad digest":                  {ocm.ErrInvalid, "digest"},
		"redirect " + elsewhere.URL:   {ocm.ErrInvalid, "307"},
		"wrong token":                 {ocm.ErrDenied, "no such call goes on"},
		"no token":                    {ocm.ErrDenied, "no such call goes on"},
		"not offered":                 {ocm.ErrNotFound, "not offered"},
		"attached of another":         {ocm.ErrNotFound, "not offered"},
		"attached without a call":     {ocm.ErrDenied, "no such call goes on"},
		"large question":              {nil, "too large"},
		"unknown question":            {nil, "404"},
		"exit with words \x1b[31mred": {nil, "red"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, host.Options{Shutdown: 5 * time.Second}, config.Plugin{Timeout: patience(text)}, "hostile", "echo")
			_, err := p.open(t.Context(), "hostile/v1", text)
			bad(t, err, want.kind, "plugin hostile: ", want.part)
			p.works(t)
			if strings.Contains(p.log.String(), "\x1b") {
				t.Errorf("the log controls the terminal: %q", p.log)
			}
		})
	}
	t.Cleanup(func() {
		if asked.Load() > 0 {
			t.Error("a redirect was followed")
		}
	})
}

// What a plugin says of a content is compared with its bytes.
func TestHostileContents(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]error{
		"short": nil, "long": nil, "endless": nil, "jello": ocm.ErrDigest, "cut": nil, "exit in the middle": nil, "announced long": nil, "announced short": nil, "hang in the middle": context.DeadlineExceeded,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, host.Options{Shutdown: 5 * time.Second}, config.Plugin{Timeout: patience(text)}, "hostile", "echo")
			c, err := p.open(t.Context(), "hostile/v1", text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := blob.ReadAll(t.Context(), c.From, c.Root, 100)
			if err == nil {
				t.Fatalf("it was read: %q", got)
			}
			bad(t, err, kind)
			if strings.Contains(text, "middle") {
				bad(t, err, nil, "plugin hostile: ")
			}
			p.works(t)
		})
	}
}

// The token of a call is worth nothing after it.
func TestHostileOldToken(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{}, "hostile")
	if _, err := p.open(t.Context(), "hostile/v1", "keep token"); err != nil {
		t.Fatal(err)
	}
	_, err := p.open(t.Context(), "hostile/v1", "old token")
	bad(t, err, ocm.ErrDenied, "no such call goes on")
}

// What it starts ends with it.
func TestHostileFork(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"fork", "fork and exit"} {
		p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, "hostile", "echo")
		_, err := p.open(t.Context(), "hostile/v1", text)
		if text == "fork" {
			if n := len(processes(p.dir)); err != nil || n != 2 {
				t.Fatalf("%d processes, %v", n, err)
			}
		} else {
			bad(t, err, nil, "exit status 4")
		}
		p.works(t)
	}
}

// A process that it starts and that leaves its group goes on; nobody waits for it although it holds what the plugin held.
func TestHostileForkAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, "hostile", "echo")
	c, err := p.open(t.Context(), "hostile/v1", "fork away")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	p.host.Close()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("closing took %s", d)
	}
	pid, err := strconv.Atoi(c.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	until(t, "its end", func() bool { return len(processes(p.dir)) == 0 })
}

// A plugin that does not want to end is killed.
func TestHostileStays(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Shutdown: 400 * time.Millisecond}, config.Plugin{}, "hostile")
	if _, err := p.open(t.Context(), "hostile/v1", "stay"); err != nil {
		t.Fatal(err)
	}
	p.host.Close()
	if !strings.Contains(p.log.String(), `msg="the plugin does not end, and is killed" plugin=hostile`) {
		t.Errorf("the log says %s", p.log)
	}
}

// Output that nobody wants costs nothing but the time of the plugin.
func TestHostileOutput(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, "hostile", "echo")
	for _, text := range []string{"flood stdout", "flood stderr", "one long line"} {
		if _, err := p.open(t.Context(), "hostile/v1", text); err != nil {
			t.Fatal(err)
		}
	}
	p.works(t)
	p.host.Close()
	log := p.log.String()
	if n := strings.Count(log, "standard output, which nobody reads"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if n := strings.Count(log, "noise"); n == 0 || n > 5000 || !strings.Contains(log, "writes more than is shown") {
		t.Errorf("%d lines in the log", n)
	}
	for line := range strings.Lines(log) {
		if len(line) > 10_000 {
			t.Fatalf("a line of %d bytes", len(line))
		}
	}
}

// A plugin that opens connections takes none away from others, and few files of the host.
func TestHostileConnections(t *testing.T) { // alone, because it counts the files of this process
	p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{OpenFiles: 12_000}, "hostile", "echo")
	before := openFiles(t)
	c, err := p.open(t.Context(), "hostile/v1", "connections")
	if err != nil {
		t.Fatal(err)
	}
	if after := openFiles(t); after > before+500 {
		t.Errorf("%d open files, before %d", after, before)
	}
	t.Log(c.Name)
	p.works(t)
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A plugin that takes more memory than it is granted ends; a second time too, and no third time.
func TestHostileMemory(t *testing.T) {
	t.Parallel()
	if plugintest.Memory < 0 {
		t.Skip("the race detector needs memory without limit")
	}
	p := newPlace(t, host.Options{}, config.Plugin{Memory: 256 << 20}, "hostile", "echo")
	_, err := p.open(t.Context(), "hostile/v1", "allocate")
	bad(t, err, nil, "plugin hostile: ", "it ended by itself", "it wrote last") // what it was that it got no more of is not always the same
	_, err = p.open(t.Context(), "hostile/v1", "fine")
	bad(t, err, nil, "plugin hostile: it has ended twice")
	p.works(t)
}

// A plugin that died is started again, once.
func TestHostileDeath(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{}, "hostile")
	if _, err := p.open(t.Context(), "hostile/v1", "fine"); err != nil {
		t.Fatal(err)
	}
	first := processes(p.dir)
	_, err := p.open(t.Context(), "hostile/v1", "exit once")
	bad(t, err, nil, "exit status 3") // it is asked again, and does it again
	_, err = p.open(t.Context(), "hostile/v1", "fine")
	bad(t, err, nil, "it has ended twice, and is not started again", "exit status 3", "about to exit")
	if len(first) != 1 || len(processes(p.dir)) != 0 {
		t.Errorf("%v, then %v", first, processes(p.dir))
	}
}

// What is wrong before it serves.
func TestHostileStart(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		kind error
		part string
	}{
		"start-hangs":    {context.DeadlineExceeded, "did not say within"},
		"start-exits":    {nil, "exit status 5"},
		"start-nonsense": {ocm.ErrInvalid, `expected the line "ocm.software/plugin/v1"`},
		"start-floods":   {ocm.ErrInvalid, "expected the line"},
		"start-lies":     {nil, "plugin start-lies: the connection broke"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, name, "echo")
			p.works(t)
			if name == "start-hangs" {
				p.host.SetTimeouts(time.Second)
			}
			var all sync.WaitGroup
			for range 3 { // one start for all
				all.Go(func() {
					_, err := p.open(t.Context(), name+"/v1", "x")
					if err == nil || want.kind != nil && !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.part) || strings.Contains(err.Error(), "\x1b") {
						t.Errorf("found %v", err)
					}
				})
			}
			all.Wait()
			_, err := p.open(t.Context(), name+"/v1", "x")
			bad(t, err, nil, "plugin "+name+": ")
			p.works(t)
		})
	}
}

// A plugin that does not say what it can do is named where a type is not known, and hides no other.
func TestHostileCapabilities(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"says-nothing":    "expected a JSON document",
		"says-nonsense":   "expected a JSON document",
		"says-much":       "more than 1048576 bytes",
		"says-many":       "300 types, more than 256",
		"says-late":       "no answer within",
		"says-other":      "expected protocol",
		"says-and-exits":  "exit status 6; it wrote last:\n",
		"says-kind":       "which is not known here",
		"says-name":       "that is no name",
		"says-twice":      "is there already",
		"says-alias":      "there twice",
		"says-deep":       "deep",
		"says-and-forks":  "plugin says-and-forks",
		"says-built-in":   "is there already, and stays what it is",
		"says-everything": "it may be that of a plugin",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, host.Options{}, config.Plugin{}, name, "echo")
			builtIn := ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) { return ocm.Content{Name: "mine"}, nil })
			p.kit.Access.Register(builtIn, ocm.Type{Names: []string{"built-in/v1"}})
			_, err := p.kit.Access.For("zzz")
			if name != "says-everything" {
				bad(t, err, ocm.ErrUnknownType, "plugin "+name, part)
				if errors.Is(err, ocm.ErrExists) || errors.Is(err, ocm.ErrLimit) {
					t.Errorf("a broken plugin changes what an unknown type means: %v", err)
				}
				if !strings.Contains(p.log.String(), "a plugin cannot be used") {
					t.Errorf("the log says %s", p.log)
				}
			}
			if strings.ContainsAny(p.log.String()+fmt.Sprint(p.kit.Access.Types()), "\x1b\u202e") {
				t.Error("it controls the terminal")
			}
			if c, err := p.open(t.Context(), "built-in/v1", ""); err != nil || c.Name != "mine" {
				t.Errorf("what is built in: %+v %v", c, err)
			}
			p.works(t)
		})
	}
}

// Of two plugins with one name the first counts, and the other one is named.
func TestHostileSameName(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Dirs: []string{plugintest.Dir(t, "echo")}}, config.Plugin{}, "echo")
	plugins, err := p.host.Plugins()
	bad(t, err, ocm.ErrExists, p.dir+"/echo", "has the same name and counts")
	if len(plugins) != 1 || strings.HasPrefix(plugins[0].Path, p.dir) {
		t.Errorf("%+v", plugins)
	}
	p.works(t)
}

// A host that is closed while calls go on leaves nothing.
func TestCloseDuringCalls(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{Shutdown: time.Second}, config.Plugin{}, "hostile", "start-hangs")
	if _, err := p.open(t.Context(), "hostile/v1", "fine"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, typ := range []string{"hostile/v1", "start-hangs/v1"} {
		all.Go(func() {
			if _, err := p.open(t.Context(), typ, "hang"); err == nil {
				t.Error("no error")
			}
		})
	}
	until(t, "both", func() bool { return len(processes(p.dir)) == 2 })
	p.host.Close()
	all.Wait()
	_, err := p.open(t.Context(), "hostile/v1", "fine")
	bad(t, err, nil, "closed")
}

// openRaw is what a hostile plugin answers by.
type openRaw struct {
	Spec struct {
		Text string `json:"text"`
	} `json:"spec"`
}

var hello = []byte("hello")

func contentOf(handle string) string {
	return fmt.Sprintf(`{"handle":%q,"root":{"mediaType":"text/plain","digest":%q,"size":5}}`, handle, digest.FromBytes(hello))
}

// dialed are connections that are kept.
func dialMany(socket string) int {
	var kept []net.Conn
	for range 10_000 {
		c, err := net.DialTimeout("unix", socket, 100*time.Millisecond)
		if err != nil {
			break
		}
		kept = append(kept, c)
		_, _ = io.WriteString(c, "POST /v1/resolve HTTP/1.1\r\n")
	}
	n := len(kept)
	runtime.KeepAlive(kept)
	held = slices.Concat(held, kept)
	return n
}

// held keeps connections from being closed.
var held []net.Conn
