// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"io"
	"net/http"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int // 0: nothing yet
	bytes  int64
	user   string
}

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets the server find out that a file is to be sent, which the kernel does alone.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

func marshal(v any) ([]byte, error) { return jsonv2.Marshal(v, jsonv2.Deterministic(true)) }

// json answers with a document.
func (x *exchange) json(mediaType string, v any) error {
	raw, err := marshal(v)
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Type", mediaType)
	return x.bytes(raw)
}

// bytes answers with what is in memory, at any pace that is not too slow. net/http drops it for HEAD.
func (x *exchange) bytes(raw []byte) error {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	x.hurry(int64(len(raw)))
	_, err := x.w.Write(raw)
	return err
}

// empty answers without a body.
func (x *exchange) empty(status int) error {
	x.w.Header().Set("Content-Length", "0")
	if status == http.StatusNoContent {
		x.w.Header().Del("Content-Length")
	}
	x.w.WriteHeader(status)
	return nil
}

// hurry sets the time in which that many bytes must be taken, where there is a connection.
func (x *exchange) hurry(n int64) {
	_ = x.ctl.SetWriteDeadline(time.Now().Add(x.pace * time.Duration(1+n/PieceSize)))
}
