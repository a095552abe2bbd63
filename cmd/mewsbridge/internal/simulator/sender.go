// Package simulator is a Mews that keeps its contract: it makes webhooks as Mews makes them and delivers
// them as Mews does, with a time limit for each attempt, three attempts, and the same bytes each time.
//
// What the bridge answers is counted in bounded memory, and the entity ids of the events are made so that
// one found in a stream tells which event it was. No error and no result of this package holds the URL, which
// carries the token.
package simulator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// The contract of Mews.
const (
	DefaultTimeout    = 5 * time.Second
	DefaultAttempts   = 3
	DefaultRetryAfter = 3 * time.Minute
)

// maxRedirects bounds how many 307 and 308 answers one attempt follows.
const maxRedirects = 10

// maxAnswer bounds how many bytes of an answer are read, so that the connection can be used again.
const maxAnswer = 64 << 10

// ErrInvalidURL is returned when a URL cannot be posted to. It does not repeat the URL.
var ErrInvalidURL = errors.New("the webhook URL is not a valid http or https URL")

// ErrorClass says why an attempt got no answer.
type ErrorClass string

// The classes of an attempt without an answer.
const (
	ErrorNone        ErrorClass = ""
	ErrorTimeout     ErrorClass = "timeout"
	ErrorRefused     ErrorClass = "connection refused"
	ErrorConnection  ErrorClass = "connection failed"
	ErrorRedirects   ErrorClass = "too many redirects"
	ErrorInterrupted ErrorClass = "interrupted"
)

// Attempt is one try to deliver a webhook.
type Attempt struct {
	Start   time.Time
	Status  int           // of the answer; 0 when there was none
	Latency time.Duration // until the answer was read or given up
	Err     ErrorClass    // why there was no answer
}

// Delivered reports whether the answer was 2xx, the only success that Mews knows.
func (a Attempt) Delivered() bool { return a.Status >= 200 && a.Status < 300 }

// Result names the attempt's end: the status, or the class of the error.
func (a Attempt) Result() string {
	if a.Err != ErrorNone {
		return string(a.Err)
	}
	return strconv.Itoa(a.Status)
}

// Outcome is what became of one webhook.
type Outcome struct {
	Attempts    []Attempt
	Dropped     bool // every attempt failed: Mews sends it no more
	Interrupted bool // the context ended first: neither delivered nor dropped
}

// Sender delivers webhooks to one URL. The zero values of all fields but URL and Client mean the contract of
// Mews. Its methods may be called concurrently; its fields must not change meanwhile.
type Sender struct {
	Client     *http.Client // from NewClient
	URL        string       // with the token; never repeated in an error
	Timeout    time.Duration
	Attempts   int
	RetryAfter time.Duration // between the end of an attempt and the next; negative is none

	// Gate, when it is not nil, bounds the attempts under way to its capacity. A webhook that waits for its next
	// attempt does not hold a place.
	Gate chan struct{}

	// Failed, when it is not nil, is called for each attempt after which there is another, and may be called concurrently.
	Failed func(a Attempt, pause time.Duration)
}

// NewClient returns a client that treats redirects as Mews does: 307 and 308 are followed with method and
// body, any other is the answer. It keeps up to connections idle connections.
func NewClient(connections int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = connections
	transport.MaxIdleConnsPerHost = connections
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

var errRedirects = errors.New("too many redirects")

func checkRedirect(req *http.Request, via []*http.Request) error {
	// net/http puts the URL before into Referer, and with it the token.
	req.Header.Del("Referer")
	switch req.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return errRedirects
	}
	return nil
}

// Send delivers body: up to Attempts attempts, the same bytes each time. It returns early when ctx ends.
func (s *Sender) Send(ctx context.Context, body []byte) Outcome {
	limit := orDefault(s.Attempts, DefaultAttempts)
	var o Outcome
	for {
		attempt, ok := s.gated(ctx, body)
		if !ok {
			o.Interrupted = true
			return o
		}
		o.Attempts = append(o.Attempts, attempt)
		switch {
		case attempt.Delivered():
			return o
		case attempt.Err == ErrorInterrupted:
			o.Interrupted = true
			return o
		case len(o.Attempts) >= limit:
			o.Dropped = true
			return o
		}
		pause := max(0, orDefault(s.RetryAfter, DefaultRetryAfter))
		if s.Failed != nil {
			s.Failed(attempt, pause)
		}
		if !sleep(ctx, pause) {
			o.Interrupted = true
			return o
		}
	}
}

// gated makes one attempt when the gate lets it; ok is false when ctx ended before.
func (s *Sender) gated(ctx context.Context, body []byte) (attempt Attempt, ok bool) {
	if s.Gate != nil {
		select {
		case s.Gate <- struct{}{}:
			defer func() { <-s.Gate }()
		case <-ctx.Done():
			return Attempt{}, false
		}
	}
	return s.attempt(ctx, body), true
}

func (s *Sender) attempt(ctx context.Context, body []byte) Attempt {
	limited, cancel := context.WithTimeout(ctx, orDefault(s.Timeout, DefaultTimeout))
	defer cancel()
	start := time.Now()
	status, err := s.post(limited, body)
	a := Attempt{Start: start, Status: status, Latency: time.Since(start)}
	if err != nil {
		a.Status, a.Err = 0, classify(ctx, err)
	}
	return a
}

func (s *Sender) post(ctx context.Context, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, ErrInvalidURL
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "mewsbridge-send")
	answer, err := s.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}

// classify reduces err to its class: its text holds the URL. ctx is the one without the attempt's time limit.
func classify(ctx context.Context, err error) ErrorClass {
	var network net.Error
	switch {
	case ctx.Err() != nil:
		return ErrorInterrupted
	case errors.Is(err, errRedirects):
		return ErrorRedirects
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &network) && network.Timeout():
		return ErrorTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrorRefused
	default:
		return ErrorConnection
	}
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}
