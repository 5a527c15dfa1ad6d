// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/wire"
)

const (
	// OneShotTimeout is how long a one-shot plugin may take to answer.
	OneShotTimeout = time.Minute
	// MaxOneShotAnswer is the greatest answer of a one-shot plugin in bytes: a secret, escaped, or a signature.
	MaxOneShotAnswer = 8 << 20
)

// checkOneShot refuses kinds that a plugin cannot be which is started for each question: it is asked nothing that needs contents.
func (p *Plugin) checkOneShot(kind string) error {
	possible := []string{wire.CredentialSource, wire.Signer, wire.Verifier}
	if p.Capabilities.OneShot && !slices.Contains(possible, kind) {
		return fmt.Errorf("it is one-shot and can be %.100q, expected %s: %w", kind, strings.Join(possible, ", "), ocm.ErrInvalid)
	}
	return nil
}

// shot is a call for which the plugin is started. It has nobody to ask back: neither contents nor credentials are to be had.
type shot struct {
	ctx    context.Context
	cancel context.CancelFunc
	plugin *Plugin
}

func (p *Plugin) shoot(ctx context.Context) *shot {
	s := &shot{plugin: p}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Offer offers nothing.
func (s *shot) Offer(ocm.Content, string) wire.Content { return wire.Content{} }

// Stream is not supported.
func (s *shot) Stream(path string, _ any) (io.ReadCloser, int64, error) {
	return nil, 0, s.named(fmt.Errorf("%s: it is one-shot: %w", path, errors.ErrUnsupported))
}

// Ask starts the plugin, once.
func (s *shot) Ask(path string, question, answer any, _ bool) error {
	raw, err := json.Marshal(question, json.Deterministic(true))
	if err != nil {
		return s.named(err)
	}
	out, err := s.run(path, append(raw, '\n'))
	if err != nil {
		return s.named(err)
	}
	return s.named(wire.ReadAnswer(out, answer))
}

// run starts the plugin with the question on its standard input. A plugin may end without having read it.
func (s *shot) run(path string, question []byte) ([]byte, error) {
	in, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	go func() {
		_, _ = w.Write(question)
		_ = w.Close()
	}()
	return s.plugin.once(s.ctx, OneShotTimeout, []string{wire.OneShotArgument, path}, in, MaxOneShotAnswer)
}

// End ends the call.
func (s *shot) End() { s.cancel() }

func (s *shot) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("plugin %s: %w", s.plugin.Name, err)
}
