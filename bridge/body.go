package bridge

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// body is the body of a request, unpacked where it was packed.
type body struct {
	data     []byte
	damaged  error // it could not be unpacked: data is as it came
	reserved int64 // bytes of memory taken for it
}

// unpack inflates the body, to at most limit bytes, or returns errTooLarge. What is not gzip stays as it is, damaged.
func (b *body) unpack(limit int64) error {
	data, err := inflate(b.data, limit)
	switch {
	case errors.Is(err, errTooLarge):
		return err
	case err != nil:
		b.damaged = err
	default:
		b.data = data
	}
	return nil
}

// memory bounds the bytes of all bodies that are being handled.
type memory struct {
	limit int64
	used  atomic.Int64
}

// reserve takes n bytes, or none and reports false when there is no room.
func (m *memory) reserve(n int64) bool {
	if m.used.Add(n) <= m.limit {
		return true
	}
	m.used.Add(-n)
	return false
}

func (m *memory) release(n int64) { m.used.Add(-n) }

// errTooLarge is returned by readAtMost when there is more to read.
var errTooLarge = errors.New("larger than the limit")

// errGzip is returned by inflate when the bytes are not gzip.
var errGzip = errors.New("not gzip")

// compression says how the body is encoded; ok is false for an encoding that we do not read.
func compression(h http.Header) (zipped, ok bool) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(h.Values("Content-Encoding"), ","))) {
	case "", "identity":
		return false, true
	case "gzip", "x-gzip":
		return true, true
	}
	return false, false
}

// reservation returns how much memory a request may take, and false when it says itself that it is over the limit.
func reservation(r *http.Request, zipped bool, limit int64) (n int64, ok bool) {
	switch {
	case r.ContentLength > limit:
		return 0, false
	case zipped:
		return 2 * limit, true // packed and unpacked are held at a time
	case r.ContentLength < 0:
		return limit, true
	}
	return r.ContentLength, true
}

// readBody reads the whole body, at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength < 0 {
		return readAtMost(r.Body, limit)
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return body, nil
}

// readAtMost reads to the end. One byte more than limit tells a body that is over it from one that just fits.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, errTooLarge
	}
	return body, nil
}

// inflate unpacks a gzip body, at most limit bytes: a small body can unpack to any size.
func inflate(packed []byte, limit int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, errGzip
	}
	body, err := readAtMost(r, limit)
	if err != nil && !errors.Is(err, errTooLarge) {
		return nil, errGzip
	}
	return body, err
}
