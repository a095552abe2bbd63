package otlphttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Client is an otlptrace.Client. Its methods may be called concurrently.
type Client struct {
	cfg       Config
	transport *http.Transport
	http      http.Client
}

var _ otlptrace.Client = (*Client)(nil)

// firstPause is how long the client waits before it tries again; each further pause is twice as long.
const firstPause = 500 * time.Millisecond

// New returns a client. It connects when there is something to send.
func New(cfg Config) *Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	return &Client{cfg: cfg, transport: transport, http: http.Client{Transport: transport}}
}

// Start does nothing.
func (c *Client) Start(context.Context) error { return nil }

// Stop gives the connection back.
func (c *Client) Stop(context.Context) error {
	c.transport.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans, and tries again within the timeout while the collector says that it will take them later. Its error
// holds neither the URL nor a header.
func (c *Client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	// TracesData has the fields of the collector's ExportTraceServiceRequest.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if c.cfg.Gzip {
		if body, err = pack(body); err != nil {
			return fmt.Errorf("pack spans: %w", err)
		}
	}
	for pause := firstPause; ; pause *= 2 {
		again, err := c.send(ctx, body)
		if err == nil || !again {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func (c *Client) send(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("send spans: the endpoint is not a URL")
	}
	for name, values := range c.cfg.Headers {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.cfg.Gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := c.http.Do(request)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return true, fmt.Errorf("send spans: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is used again
	_ = response.Body.Close()
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("send spans: the collector answers %d", response.StatusCode)
	}
	if response.StatusCode/100 != 2 {
		return false, fmt.Errorf("send spans: the collector answers %d", response.StatusCode)
	}
	return false, nil
}

func pack(body []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
