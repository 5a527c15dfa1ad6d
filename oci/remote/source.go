// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// source is content that may be needed more than once: from an io.Seeker, or from a function
// that opens it again.
type source struct {
	open   func(context.Context) (io.ReadCloser, error) // nil: there is only r
	r      io.Reader
	closer io.Closer // of r, if it is ours
	start  int64     // where the content begins in r
	used   bool      // something was read of r
	stuck  bool      // r is an io.Seeker that cannot seek
	marks  []mark    // places to go on from
}

func newSource(r io.Reader) *source {
	s := &source{r: r}
	s.position()
	return s
}

func (s *source) position() {
	s.start, s.stuck = 0, true
	if seeker, ok := s.r.(io.Seeker); ok {
		if at, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.start, s.stuck = at, false
		}
	}
}

// again tells whether the content can be had once more.
func (s *source) again() bool { return !s.used || !s.stuck || s.open != nil }

// begin starts to read; what is before skip is hashed only. It goes on from the last place before
// skip whose hash is known, if the source can go there.
func (s *source) begin(ctx context.Context, d ociv1.Descriptor, skip int64) (*outgoing, error) {
	var from mark
	if s.used && !s.stuck {
		for _, m := range s.marks {
			if m.at <= skip && m.at > from.at {
				from = m
			}
		}
		if _, err := s.r.(io.Seeker).Seek(s.start+from.at, io.SeekStart); err != nil { //nolint:errcheck,forcetypeassert // else it is stuck
			if s.open == nil {
				return nil, err
			}
			from = mark{}
			s.close()
		}
	} else if s.used {
		s.close()
	}
	if s.r == nil {
		rc, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		s.r, s.closer = rc, rc
		s.position()
	}
	s.used = true
	return newOutgoing(s.r, d, from, skip)
}

// ended takes over what an attempt has learned.
func (s *source) ended(out *outgoing, failed error) {
	s.used = out.n > out.from || failed != nil
	s.marks = append(s.marks, out.marks...)
	if errors.Is(failed, errors.ErrUnsupported) {
		s.stuck = true
	}
}

// canRestart tells a source that cannot go on in the middle, but begin again.
func (s *source) canRestart(failed error) bool {
	return errors.Is(failed, errors.ErrUnsupported) && s.open != nil
}

// close closes r; it is opened again if it is needed.
func (s *source) close() {
	if s.closer != nil {
		s.closer.Close()
	}
	s.r, s.closer = nil, nil
}
