// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"ocm"
)

// maxPacket is the longest packet with its length, by gitprotocol-common.
const maxPacket = 65520

// kind of a packet.
type kind int

const (
	data  kind = iota
	flush      // 0000: the end of a message
	delim      // 0001: the end of a section
	end        // 0002: the end of an answer
)

// packets reads packets: four hexadecimal digits that say the length, and the rest.
type packets struct {
	r   *bufio.Reader
	buf [maxPacket]byte
}

// next returns a packet, which is valid until the next call. The end of the stream is an error.
func (p *packets) next() ([]byte, kind, error) {
	if _, err := io.ReadFull(p.r, p.buf[:4]); err != nil {
		return nil, end, cut(err)
	}
	n, err := strconv.ParseUint(string(p.buf[:4]), 16, 16)
	switch {
	case err != nil || n > maxPacket || n == 3:
		return nil, end, fmt.Errorf("expected the length of a packet, found %q: %w", p.buf[:4], ocm.ErrInvalid)
	case n < 3:
		return nil, kind(n) + flush, nil
	}
	_, err = io.ReadFull(p.r, p.buf[4:n])
	return p.buf[4:n], data, cut(err)
}

// line returns a packet of text without the line's end. What the server reports as an error is one.
func (p *packets) line() (string, kind, error) {
	b, k, err := p.next()
	text := strings.TrimSuffix(string(b), "\n")
	if msg, ok := strings.CutPrefix(text, "ERR "); ok && err == nil {
		err = refused(msg)
	}
	return text, k, err
}

// cut says that a stream ended too early.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// refused is an error of what a server says; servers have no codes for it.
func refused(msg string) error {
	reason := errors.New("the server refuses")
	low := strings.ToLower(msg)
	for text, kind := range map[string]error{
		"not our ref": ocm.ErrNotFound, "not found": ocm.ErrNotFound, "not be found": ocm.ErrNotFound, "not exported": ocm.ErrNotFound, "no such repository": ocm.ErrNotFound,
		"not appear to be a git repository": ocm.ErrNotFound, "permission denied": ocm.ErrDenied, "unauthorized": ocm.ErrDenied,
	} {
		if strings.Contains(low, text) {
			reason = kind
			break
		}
	}
	return fmt.Errorf("the server says %.300q: %w", strings.TrimSpace(msg), reason)
}

// appendLine adds a packet with a line of text.
func appendLine(b []byte, format string, args ...any) []byte {
	text := fmt.Sprintf(format, args...) + "\n"
	return fmt.Appendf(b, "%04x%s", len(text)+4, text)
}

// sideband reads what is in the first channel of packets. The second is progress, the third an error.
type sideband struct {
	p    *packets
	rest []byte
}

func (s *sideband) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		pkt, k, err := s.p.next()
		switch {
		case err != nil:
			return 0, err
		case k != data:
			return 0, io.EOF
		case len(pkt) > 0 && pkt[0] == 1:
			s.rest = pkt[1:]
		case len(pkt) > 0 && pkt[0] == 3:
			return 0, refused(string(pkt[1:]))
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
