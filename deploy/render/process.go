// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"ocm"
)

// Limits of a process that renders.
const (
	MaxTime   = 30 * time.Second // of the processor
	MaxWait   = 2 * time.Minute  // from its start to its end, also on a machine with too much to do
	MaxMemory = 256 << 20        // bytes, beyond what the program has when it starts
	// MaxProcesses is how many there are at a time; others wait for their turn.
	MaxProcesses = 2

	maxStack   = 64 << 20 // bytes
	maxMessage = 4 * MaxOutput
	maxLookups = 1000
)

const (
	childName  = "ocm-render"     // argv[0] of the process, by which Main knows it
	childHello = "ocm-render/1\n" // what it says first
)

// task is what the process is asked for: one of the three.
type task struct {
	Chart     *chartTask
	Kustomize *kustomizeTask
	Manifests []document
}

// message is what the process says: a question, or as the last thing the answer.
type message struct {
	Lookup *lookup
	Answer *answer
}

// lookup is a question of a template about the cluster.
type lookup struct{ APIVersion, Kind, Namespace, Name string }

// found is the answer to it.
type found struct {
	Object map[string]any
	Error  string
}

// answer is what was rendered. Error is one of the sentinels, and what it is about.
type answer struct {
	Error, Text string

	Documents []document // without hooks
	CRDs      []document
	Hooks     []hook
	Notes     string
	Release   json.RawMessage // the release in the form in which helm stores it, but for manifests
	Chart     struct{ Name, Version, AppVersion string }
}

// document is the text of a file or, on the way back, one document in it, as JSON.
type document struct {
	File   string
	Number int // in the file, from 1
	Text   string
}

type hook struct {
	Documents        []document
	Kind, Name, File string
	Events           []string
	Weight           int
	Delete           []string
	OutputLog        []string
}

// Main serves [Render] in a process that it has started, and then ends this process. In all other processes it returns at once. A
// program that renders charts or kustomizations calls it first thing in its function main, and a test in TestMain.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(MaxMemory / 4 * 3) // near it garbage is looked for more often
	runtime.GOMAXPROCS(1)
	log.SetOutput(io.Discard) // of which slog's default makes use, too: what is written is how it ends, if it does not end well
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, "confine:", err)
		os.Exit(1)
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve does one task.
func serve(r io.Reader, w io.Writer) error {
	if _, err := io.WriteString(w, childHello); err != nil {
		return err
	}
	dec, enc := json.NewDecoder(r), json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var t task
	if err := dec.Decode(&t); err != nil {
		return err
	}
	asked := 0
	ask := func(l lookup) (map[string]any, error) {
		if asked++; asked > maxLookups {
			return nil, fmt.Errorf("more than %d lookups", maxLookups)
		}
		if err := enc.Encode(message{Lookup: &l}); err != nil {
			return nil, err
		}
		var f found
		if err := dec.Decode(&f); err != nil {
			return nil, err
		}
		if f.Error != "" {
			return nil, errors.New(f.Error)
		}
		return f.Object, nil
	}
	return enc.Encode(message{Answer: do(t, ask)})
}

// do does a task. A panic of helm or kustomize is an error like any other (CVE-2025-55198).
func do(t task, ask func(lookup) (map[string]any, error)) (a *answer) {
	defer func() {
		if p := recover(); p != nil {
			a = failure(fmt.Errorf("it cannot be rendered: %v: %w", p, ocm.ErrInvalid))
		}
	}()
	var err error
	switch {
	case t.Chart != nil:
		a, err = t.Chart.render(ask)
	case t.Kustomize != nil:
		a, err = t.Kustomize.build()
	case len(t.Manifests) > 0:
		a = &answer{Documents: t.Manifests}
	default:
		err = ocm.ErrInvalid
	}
	if err == nil {
		err = a.toJSON()
	}
	if err != nil {
		return failure(err)
	}
	return a
}

// toJSON reads YAML here, where there is a bound to what its parser takes.
func (a *answer) toJSON() error {
	lists := []*[]document{&a.Documents, &a.CRDs}
	for i := range a.Hooks {
		lists = append(lists, &a.Hooks[i].Documents)
	}
	for _, list := range lists {
		docs, err := toJSON(*list)
		if err != nil {
			return err
		}
		*list = docs
	}
	return nil
}

// sentinels are the errors that keep their kind on the way between the processes.
var sentinels = []error{ocm.ErrInvalid, ocm.ErrLimit, ocm.ErrNotFound}

func failure(err error) *answer {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return &answer{Error: s.Error(), Text: err.Error()}
		}
	}
	return &answer{Error: ocm.ErrInvalid.Error(), Text: err.Error()}
}

// maxText bounds the text of an error of a template, in bytes.
const maxText = 2000

// err is the error of an answer.
func (a *answer) err() error {
	if a.Error == "" {
		return nil
	}
	text := strings.TrimSpace(strings.ToValidUTF8(a.Text, "?"))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " …"
	}
	for _, s := range sentinels {
		if s.Error() == a.Error {
			return &told{text, s}
		}
	}
	return &told{text, ocm.ErrInvalid}
}

// told is an error of the other process: its text, and its kind.
type told struct {
	text string
	kind error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.kind }

// turns bounds how many processes there are at a time: a controller has the memory for MaxMemory that often, beside what it needs itself.
var turns = make(chan struct{}, MaxProcesses)

// teller answers questions about the cluster.
type teller func(context.Context, lookup) (map[string]any, error)

// run does a task in a process of its own.
func run(ctx context.Context, t task, tell teller) (*answer, error) {
	return runWithin(ctx, MaxWait, t, tell)
}

func runWithin(outer context.Context, limit time.Duration, t task, tell teller) (*answer, error) {
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-outer.Done():
		return nil, fmt.Errorf("it waits for its turn to be rendered: %w", outer.Err())
	}
	ctx, cancel := context.WithTimeout(outer, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	if runtime.GOOS != "linux" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd.Path = self
	}
	// The second argument ends tests that do not know of Main, and is none of a program that does not: nothing else starts by accident.
	cmd.Args, cmd.Env, cmd.Dir = []string{childName, "-test.run=^$"}, []string{}, "/"
	cmd.WaitDelay = time.Second
	complaints := &head{left: 4096}
	cmd.Stderr = complaints
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a process that renders cannot be started: %w", err)
	}
	a, err := converse(ctx, t, stdin, stdout, tell)
	late := ctx.Err() != nil
	stdin.Close()
	cancel() // it has nothing more to say
	_ = cmd.Wait()
	switch {
	case err == nil:
		return a, a.err()
	case outer.Err() != nil:
		return nil, fmt.Errorf("it was being rendered: %w", outer.Err())
	case late:
		return nil, fmt.Errorf("it takes more than %v to be rendered: %w", limit, ocm.ErrLimit)
	}
	return nil, judge(err, complaints.String())
}

// converse gives the process its task, answers its questions and returns its answer.
func converse(ctx context.Context, t task, w io.Writer, r io.Reader, tell teller) (*answer, error) {
	limited := &io.LimitedReader{R: r, N: maxMessage}
	said := bufio.NewReader(limited)
	hello := make([]byte, len(childHello))
	if _, err := io.ReadFull(said, hello); err != nil || string(hello) != childHello {
		return nil, errors.Join(errNoMain, err)
	}
	dec, enc := json.NewDecoder(said), json.NewEncoder(w)
	if err := enc.Encode(t); err != nil {
		return nil, err
	}
	var cause error
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			if limited.N <= 0 {
				err = fmt.Errorf("more than %d bytes: %w", maxMessage, ocm.ErrLimit)
			}
			return nil, err
		}
		if m.Lookup == nil {
			return finished(m.Answer, cause)
		}
		if tell == nil {
			return nil, fmt.Errorf("a question that nobody answers: %w", ocm.ErrInvalid)
		}
		object, err := tell(ctx, *m.Lookup)
		f := found{Object: object}
		if err != nil {
			f.Error = err.Error()
		}
		if err != nil && cause == nil {
			cause = err
		}
		if err := enc.Encode(f); err != nil {
			return nil, err
		}
	}
}

// finished is the last word of the process. What could not be looked up is why it failed, and is of another kind than what is wrong with a
// template: it may be there the next time.
func finished(a *answer, cause error) (*answer, error) {
	if a == nil {
		return nil, fmt.Errorf("an empty answer: %w", ocm.ErrInvalid)
	}
	if a.Error != "" && cause != nil {
		return nil, &unanswered{cause}
	}
	return a, nil
}

// unanswered is why something could not be looked up.
type unanswered struct{ error }

func (u *unanswered) Unwrap() error { return u.error }

var errNoMain = errors.New("this program cannot render charts and kustomizations: it must call render.Main when it starts")

// judge says why a process did not answer.
func judge(err error, complaints string) error {
	var u *unanswered
	switch {
	case errors.As(err, &u):
		return u.error
	case strings.Contains(complaints, "stack exceeds"):
		return fmt.Errorf("it contains itself, or calls itself without an end: %w", ocm.ErrLimit)
	case strings.Contains(complaints, "memory"):
		return fmt.Errorf("it takes more than %d bytes of memory to be rendered: %w", MaxMemory, ocm.ErrLimit)
	case errors.Is(err, errNoMain), errors.Is(err, ocm.ErrLimit):
		return err
	case complaints == "", errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // it was killed, or ended in its own words
		return fmt.Errorf("it takes more time or memory to be rendered than there is: %w", ocm.ErrLimit)
	}
	return fmt.Errorf("it cannot be rendered: %w: %w", err, ocm.ErrInvalid)
}

// head keeps the beginning of what is written.
type head struct {
	bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	h.Buffer.Write(p[:n])
	return len(p), nil
}
