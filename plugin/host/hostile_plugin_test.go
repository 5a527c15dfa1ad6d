// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/internal/plugintest"
	"ocm/plugin/wire"
)

// This test binary is also the plugins of its tests.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HOST_OF"); dir != "" {
		hostOf(dir)
	}
	name := filepath.Base(os.Args[0])
	switch hostile, known := hostilePlugins[name], len(os.Args) == 2; {
	case hostile == nil || !known && os.Getenv(wire.PluginSocket) == "":
	case known && os.Args[1] == "child":
		time.Sleep(time.Hour)
	case known && os.Args[1] == "capabilities":
		hostile.says(name)
		os.Exit(0)
	default:
		hostile.serves()
		os.Exit(0)
	}
	plugintest.Main(m, map[string]func() *ocm.Kit{"echo": echoKit, "files": filesKit, "rsa": rsaKit, "fragile": fragileKit, "forger": forgerKit, "boaster": boasterKit,
		"panics": panicsKit, "shelf": shelfKit})
}

// hostile is a plugin that means no good.
type hostile struct {
	says   func(name string)
	serves func()
}

var hostilePlugins = map[string]*hostile{
	"hostile":        {usual, serveHostile},
	"start-hangs":    {usual, func() { time.Sleep(time.Hour) }},
	"start-exits":    {usual, func() { os.Exit(5) }},
	"start-nonsense": {usual, func() { fmt.Println("\x1b[31mhello"); time.Sleep(time.Hour) }},
	"start-floods":   {usual, func() { flood(os.Stdout, 1<<20) }},
	"start-lies":     {usual, func() { fmt.Println(wire.Protocol); time.Sleep(time.Hour) }},
	"says-nothing":   {func(string) {}, nil},
	"says-nonsense":  {func(string) { fmt.Println("\x1b[31mhello") }, nil},
	"says-much":      {func(string) { flood(os.Stdout, 1<<40) }, nil},
	"says-many":      {func(string) { says(300, `"names":["many%d"]`) }, nil},
	"says-late":      {func(string) { time.Sleep(time.Hour) }, nil},
	"says-other":     {func(string) { fmt.Println(`{"protocol":"\u001b[31mother"}`) }, nil},
	"says-and-exits": {func(string) { fmt.Fprintln(os.Stderr, "\x1b[31mno"); os.Exit(6) }, nil},
	"says-kind":      {func(string) { fmt.Println(document(`{"type":"\u001b[31m","names":["a"]}`)) }, nil},
	"says-name":      {func(string) { says(1, `"names":["a\u001b[31m%d"]`) }, nil},
	"says-twice":     {func(string) { fmt.Println(document(access(`"names":["a"]`) + "," + access(`"names":["a"]`))) }, nil},
	"says-alias":     {func(string) { says(1, `"names":["a%d","a0"]`) }, nil},
	"says-deep":      {func(string) { says(1, `"names":["a%d"],`+deep(20)) }, nil},
	"says-and-forks": {func(string) { fork(nil); time.Sleep(100 * time.Millisecond); os.Exit(1) }, nil},
	"says-built-in":  {func(string) { says(1, `"names":["built-in/v%d","built-in/v1"]`) }, nil},
	"says-everything": {func(string) {
		says(1, `"names":["e%d"],"about":"\u001b[31m \u202e","notes":["\u001b["],"fields":[{"name":"\u001b","kind":"\u001b"}]`)
	}, nil},
}

func deep(n int) string {
	return strings.Repeat(`"fields":[{"name":"x",`, n) + `"kind":"text"` + strings.Repeat("}]", n)
}

func access(members string) string { return `{"type":"accessMethod",` + members + `}` }

func document(capabilities string) string {
	return `{"protocol":"` + wire.Protocol + `","name":"\u001b[31m","capabilities":[` + capabilities + `]}`
}

func says(n int, members string) {
	var all []string
	for i := range n {
		all = append(all, access(strings.ReplaceAll(members, "%d", strconv.Itoa(i))))
	}
	fmt.Println(document(strings.Join(all, ",")))
}

func usual(name string) { says(1, `"names":["`+name+`/v1"]`) }

// flood writes so many lines.
func flood(w io.Writer, n int) {
	chunk := bytes.Repeat([]byte("noise\n"), 10_000)
	for ; n > 0; n -= 10_000 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// fork starts a process that keeps the pipes.
func fork(how *syscall.SysProcAttr) (pid int) {
	child := exec.Command(os.Args[0], "child")
	child.Stdout, child.Stderr, child.SysProcAttr = os.Stdout, os.Stderr, how
	if err := child.Start(); err != nil {
		panic(err)
	}
	for len(processes(filepath.Dir(os.Args[0]))) < 2 { // it is that program by now
		time.Sleep(time.Millisecond)
	}
	return child.Process.Pid
}

func serveHostile() {
	mux := http.NewServeMux()
	mux.HandleFunc(wire.OpenPath, hostileOpen)
	mux.HandleFunc(wire.FetchPath, hostileFetch)
	l, err := net.Listen("unix", os.Getenv(wire.PluginSocket))
	if err != nil {
		panic(err)
	}
	fmt.Println(wire.Protocol)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if !stays.Load() {
			os.Exit(0)
		}
	}()
	_ = http.Serve(l, mux)
}

var (
	oldToken atomic.Value
	stays    atomic.Bool
)

func hostileOpen(w http.ResponseWriter, r *http.Request) {
	var q openRaw
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		panic(err)
	}
	switch text := q.Spec.Text; text {
	case "hang":
		time.Sleep(time.Hour)
	case "nonsense":
		fmt.Fprint(w, "<html>\x1b[31m")
	case "other status":
		http.Error(w, "\x1b[31mtea", http.StatusTeapot)
	case "huge":
		fmt.Fprint(w, `{"handle":"`)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<20))
		fmt.Fprint(w, `"}`)
	case "escape":
		fmt.Fprintln(os.Stderr, "\x1b[31mlog\n"+`{"level":"ERROR","msg":"\u001b[31mjson","\u001b":"\u001b[0m"}`)
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":{"kind":"denied","check":"\u001b[31m","message":"\u001b[31mred"}}`)
	case "no type":
		fmt.Fprint(w, `{"handle":"1","root":{"mediaType":"","digest":"","size":-1}}`)
	case "negative":
		fmt.Fprint(w, `{"handle":"1","root":{"mediaType":"a/b","digest":"","size":-7}}`)
	case "bad digest":
		fmt.Fprint(w, `{"handle":"1","root":{"mediaType":"a/b","digest":"sha256:../../etc/passwd","size":7}}`)
	default:
		if to, ok := strings.CutPrefix(text, "redirect "); ok {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return
		}
		if !hostileAsks(w, r, text) {
			hostileDoes(w, text)
		}
	}
}

// hostileAsks asks the host what it must not, and passes on what that answers.
func hostileAsks(w http.ResponseWriter, r *http.Request, text string) (asked bool) {
	ask := func(token, path string, question any) {
		err := wire.NewClient(os.Getenv(wire.HostSocket)).Ask(context.Background(), token, path, question, &wire.Secret{})
		wire.Answer(func(context.Context, string, wire.Empty) (wire.Empty, error) { return wire.Empty{}, err }).ServeHTTP(w, again(r))
	}
	resolve := wire.Resolve{Identity: ocm.Identity{"type": "Echo"}}
	switch text {
	case "wrong token":
		ask("AAAAAAAAAAAAAAAAAAAAAAAAAA", wire.ResolvePath, resolve)
	case "no token":
		ask("", wire.ResolvePath, resolve)
	case "keep token":
		oldToken.Store(r.Header.Get(wire.CallHeader))
		fmt.Fprint(w, contentOf("1"))
	case "old token":
		ask(oldToken.Load().(string), wire.ResolvePath, resolve)
	case "not offered":
		ask(r.Header.Get(wire.CallHeader), wire.FetchPath, wire.Fetch{Handle: "h1"})
	case "attached of another":
		ask(r.Header.Get(wire.CallHeader), wire.AttachedPath, wire.AskAttached{Handle: "h1", Digest: digest.FromBytes(hello)})
	case "attached without a call":
		ask("", wire.AttachedPath, wire.AskAttached{Handle: "h1", Digest: digest.FromBytes(hello)})
	case "large question":
		resolve.Identity["large"] = strings.Repeat("x", 8<<20)
		ask(r.Header.Get(wire.CallHeader), wire.ResolvePath, resolve)
	case "unknown question":
		ask(r.Header.Get(wire.CallHeader), "/v1/shutdown", resolve)
	default:
		return false
	}
	return true
}

// hostileDoes harms, and then answers as if nothing were wrong.
func hostileDoes(w http.ResponseWriter, text string) {
	answer := strings.Replace(contentOf(text), "{", `{"name":"%s",`, 1)
	name := ""
	switch text {
	case "exit", "exit once":
		fmt.Fprintln(os.Stderr, "about to exit")
		os.Exit(3)
	case "exit with words \x1b[31mred":
		fmt.Fprintln(os.Stderr, text)
		os.Exit(3)
	case "fork":
		fork(nil)
	case "fork away":
		name = strconv.Itoa(fork(&syscall.SysProcAttr{Setsid: true}))
	case "stay":
		stays.Store(true)
		signal.Ignore(syscall.SIGTERM)
	case "fork and exit":
		fork(nil)
		os.Exit(4)
	case "flood stdout":
		flood(os.Stdout, 1<<24)
	case "flood stderr":
		flood(os.Stderr, 1<<21)
	case "one long line":
		_, _ = os.Stderr.Write(bytes.Repeat([]byte("y"), 10<<20))
	case "connections":
		name = fmt.Sprint(dialMany(os.Getenv(wire.HostSocket)), " connections")
	case "allocate":
		var all [][]byte
		for {
			if all = append(all, bytes.Repeat([]byte("z"), 1<<20)); len(all) > 1<<20 {
				os.Exit(0)
			}
		}
	}
	fmt.Fprintf(w, answer, name)
}

// again is a question that was read already.
func again(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(strings.NewReader("{}"))
	return r
}

func hostileFetch(w http.ResponseWriter, r *http.Request) {
	var q wire.Fetch
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		panic(err)
	}
	flush := func(text string) {
		fmt.Fprint(w, text)
		_ = http.NewResponseController(w).Flush()
	}
	switch q.Handle {
	case "short":
		flush("hell")
	case "long":
		flush("hello, world")
	case "endless":
		for {
			if _, err := w.Write(bytes.Repeat([]byte("hello"), 1000)); err != nil {
				return
			}
		}
	case "announced long":
		w.Header().Set("Content-Length", "100")
		flush("hello")
	case "announced short":
		w.Header().Set("Content-Length", "2")
		flush("he")
	case "cut":
		flush("hell")
		panic(http.ErrAbortHandler)
	case "exit in the middle":
		flush("hell")
		os.Exit(3)
	case "hang in the middle":
		flush("hell")
		time.Sleep(time.Hour)
	default:
		flush(q.Handle)
	}
}
