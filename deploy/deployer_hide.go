// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// minHidden is the length of the shortest text that is hidden, in bytes. What is shorter is everywhere.
const minHidden = 4

// hidden are texts that came from Secrets. Templates may put them into what they complain about, and so may the API server; conditions,
// events and logs are read by more people than Secrets are.
type hidden []string

// add notes all texts in values.
func (h *hidden) add(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, e := range v {
			h.add(e)
		}
	case []any:
		for _, e := range v {
			h.add(e)
		}
	case string:
		h.note(v)
		for line := range strings.Lines(v) {
			h.note(strings.TrimSpace(line))
		}
	}
}

// note notes a text as it is, as it is quoted, and as a Secret has it.
func (h *hidden) note(text string) {
	if len(text) < minHidden {
		return
	}
	quoted := strconv.Quote(text)
	*h = append(*h, text, quoted[1:len(quoted)-1], base64.StdEncoding.EncodeToString([]byte(text)))
}

// in is a message without them.
func (h hidden) in(message string) string {
	if len(h) == 0 {
		return message
	}
	texts := slices.SortedFunc(slices.Values(h), func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the longest that fits is taken
	pairs := make([]string, 0, 2*len(texts))
	for _, text := range texts {
		pairs = append(pairs, text, "…")
	}
	return strings.NewReplacer(pairs...).Replace(message)
}

// of is an error, or the outcome that it is, without them.
func (h hidden) of(err error) error {
	if err == nil || len(h) == 0 {
		return err
	}
	if o := (*outcome)(nil); errors.As(err, &o) {
		is := *o
		is.err = &silenced{is.err, h.in(err.Error())}
		return &is
	}
	return &silenced{err, h.in(err.Error())}
}

// silenced is an error with another text.
type silenced struct {
	error
	text string
}

func (s *silenced) Error() string { return s.text }
func (s *silenced) Unwrap() error { return s.error }
