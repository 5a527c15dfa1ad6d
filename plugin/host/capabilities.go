// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/wire"
)

// Limits of what a plugin says of its types.
const (
	maxName      = 255  // bytes of the name of a type
	maxNames     = 32   // of one type
	maxSentence  = 1000 // bytes of a text that people read
	maxFieldDeep = 8    // objects in objects
)

// ask asks a plugin for its capabilities.
func (p *Plugin) ask(ctx context.Context) error {
	text, err := p.capabilities(ctx)
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if ok, err := p.adopt(text); ok {
		return err
	}
	p.Capabilities, err = readCapabilities(text)
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// readCapabilities reads what a plugin says. What it says of single types is checked later: of these one that is wrong hides no other.
func readCapabilities(text []byte) (doc wire.Capabilities, err error) {
	if err := json.Unmarshal(text, &doc); err != nil {
		return doc, fmt.Errorf("expected a JSON document, found %q: %s: %w", wire.Text(string(text), 100), wire.Text(err.Error(), 300), ocm.ErrInvalid)
	}
	if doc.Protocol != wire.Protocol {
		return doc, fmt.Errorf("expected protocol %s, found %q: %w", wire.Protocol, wire.Text(doc.Protocol, 100), errors.ErrUnsupported)
	}
	if n := len(doc.Capabilities); n > wire.MaxTypes {
		return doc, fmt.Errorf("%d types, more than %d: %w", n, wire.MaxTypes, ocm.ErrLimit)
	}
	doc.Name, doc.Version, doc.About = wire.Text(doc.Name, maxName), wire.Text(doc.Version, maxName), wire.Text(doc.About, maxSentence)
	return doc, nil
}

// capabilities runs the plugin with that argument.
func (p *Plugin) capabilities(ctx context.Context) ([]byte, error) {
	return p.once(ctx, p.host.askTimeout, []string{"capabilities"}, nil, wire.MaxCapabilities)
}

// once runs the plugin until it ends, and returns what it printed. What it prints on its standard error is in the log, and in the error
// where it fails.
func (p *Plugin) once(ctx context.Context, timeout time.Duration, args []string, in *os.File, most int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	log := newLogger(p.host.log.With("plugin", p.Name))
	out, last := &limited{left: most, stop: cancel}, &lines{each: log.line}
	// What is no plugin might take the word for the name of a file: none is there that is somebody's.
	r, err := p.spawn(string(filepath.Separator), args, nil, in, out, last)
	if err != nil {
		return nil, err
	}
	select {
	case <-r.ended:
	case <-ctx.Done():
		r.signal(syscall.SIGKILL)
		<-r.ended
	}
	last.close()
	log.tellDropped()
	switch {
	case out.left < 0:
		return nil, fmt.Errorf("it printed more than %d bytes: %w", most, ocm.ErrLimit)
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("it had no time to answer: %w", context.Cause(ctx))
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer within %s: %w", timeout, context.Cause(ctx))
	case r.err != nil:
		return nil, fmt.Errorf("%w%s", r.err, last)
	}
	return out.text.Bytes(), nil
}

// limited takes so many bytes, and stops who writes one more.
type limited struct {
	text bytes.Buffer
	left int
	stop func()
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		l.stop()
		return 0, ocm.ErrLimit
	}
	return l.text.Write(b)
}

// checkType makes sure that a type has names, and texts that can be shown.
func checkType(t *ocm.Type) error {
	if len(t.Names) == 0 || len(t.Names) > maxNames {
		return fmt.Errorf("a type has %d names, expected 1 to %d: %w", len(t.Names), maxNames, ocm.ErrInvalid)
	}
	seen := map[string]bool{}
	for _, name := range t.Names {
		if !isName(name) || seen[name] {
			return fmt.Errorf("type %q: that is no name, or it is there twice: %w", wire.Text(name, 100), ocm.ErrInvalid)
		}
		seen[name] = true
	}
	t.About = wire.Text(t.About, maxSentence)
	for i, n := range t.Notes {
		t.Notes[i] = wire.Text(n, maxSentence)
	}
	return checkFields(t.Fields, maxFieldDeep)
}

func checkFields(fields []ocm.Field, deep int) error {
	if len(fields) > 0 && deep == 0 {
		return fmt.Errorf("members of members, more than %d deep: %w", maxFieldDeep, ocm.ErrLimit)
	}
	for i := range fields {
		f := &fields[i]
		f.Name, f.Kind, f.About = wire.Text(f.Name, maxName), wire.Text(f.Kind, maxName), wire.Text(f.About, maxSentence)
		if err := checkFields(f.Fields, deep-1); err != nil {
			return err
		}
	}
	return nil
}

// isName reports whether a text can be the name of a type or a plugin.
func isName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && wire.Text(name, maxName) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
