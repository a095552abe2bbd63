package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// runSchema runs the command and returns its exit code and what it printed.
func runSchema(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}
	code = run(t.Context(), env, append([]string{"schema"}, args...))
	return code, stdout.String(), stderr.String()
}

func TestSchemaCommand(t *testing.T) {
	_, listed, _ := runSchema(t)
	if n := strings.Count(listed, "\n"); n != len(schema.Documents())+1 || !strings.Contains(listed, "\nServiceOrderUpdated       A reservation or another service order was created or changed\n") {
		t.Errorf("the list has %d lines:\n%s", n, listed)
	}
	_, all, _ := runSchema(t, "--all")
	var byName map[string]json.RawMessage
	if err := json.Unmarshal([]byte(all), &byName); err != nil {
		t.Fatalf("--all: %v", err)
	}
	dir := t.TempDir()
	code, written, errs := runSchema(t, "--out", dir)
	if code != exitOK {
		t.Fatalf("--out: %d %s", code, errs)
	}
	for _, d := range describedDocuments() {
		if _, one, _ := runSchema(t, d.Name); one != string(d.Content) {
			t.Errorf("%s prints %d bytes, want %d", d.Name, len(one), len(d.Content))
		}
		if byName[d.Name] == nil {
			t.Errorf("--all has no %s", d.Name)
		}
		name := filepath.Join(dir, "v1", d.Name+".json")
		if content, err := os.ReadFile(name); err != nil || !bytes.Equal(content, d.Content) || !strings.Contains(written, name+"\n") {
			t.Errorf("--out: %s: %v", name, err)
		}
	}
	one := t.TempDir()
	if code, _, errs := runSchema(t, "headers", "--out", one); code != exitOK {
		t.Errorf("one to a folder: %d %s", code, errs)
	}
	if files, err := os.ReadDir(filepath.Join(one, "v1")); err != nil || len(files) != 1 {
		t.Errorf("one to a folder: %v, %v", files, err)
	}
	for _, args := range [][]string{{"Nothing"}, {"--all", "headers"}, {"a", "b"}} {
		if code, out, errs := runSchema(t, args...); code != exitUsage || out != "" || errs == "" {
			t.Errorf("%q: %d %q %q", args, code, out, errs)
		}
	}
	if code, _, errs := runSchema(t, "--out", filepath.Join(dir, "v1", "headers.json")); code != exitInternal || errs == "" {
		t.Errorf("a folder that cannot be: %d %q", code, errs)
	}
}

func TestAdminServesTheSchemas(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	var index []struct{ Name, Path string }
	if _, text := get(t, p.admin+"/schemas"); json.Unmarshal([]byte(text), &index) != nil || len(index) != len(schema.Documents()) {
		t.Fatalf("/schemas: %s", text)
	}
	paths := map[string]schema.Document{"/asyncapi.json": schema.AsyncAPI()}
	for i, d := range schema.Documents() {
		if index[i].Name != d.Name {
			t.Errorf("number %d is %s, want %s", i, index[i].Name, d.Name)
		}
		paths[index[i].Path] = d
	}
	for path, d := range paths {
		response, err := http.Get(p.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(response.Body)
		_ = response.Body.Close()
		if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || !bytes.Equal(body.Bytes(), d.Content) || !strings.Contains(kind, "+json") {
			t.Errorf("%s: %d, %s, %d bytes", path, response.StatusCode, kind, body.Len())
		}
	}
	if status, _ := get(t, p.admin+"/schemas/v1/Nothing.json"); status != 404 {
		t.Errorf("a schema that is not there: %d", status)
	}
	if status, _ := get(t, strings.TrimSuffix(p.webhooks, "/webhooks/mews")+"/schemas"); status != 404 {
		t.Errorf("the schemas on the webhooks' address: %d", status)
	}
}

// contract validates what the bridge received and published.
type contract map[string]*jsonschema.Schema

func newContract(t *testing.T) contract {
	t.Helper()
	c := contract{}
	for _, d := range schema.Documents() {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource(d.Path(), parseJSON(t, d.Content)); err != nil {
			t.Fatal(err)
		}
		var err error
		if c[d.Name], err = compiler.Compile(d.Path()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func parseJSON(t *testing.T, data []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return v
}

func (c contract) check(t *testing.T, name string, v any) {
	t.Helper()
	if err := c[name].Validate(v); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// checkMessage holds a stored message to the schema of its type, to that of any type, to the CloudEvents SDK and to Decode; it
// returns its type.
func (c contract) checkMessage(t *testing.T, m jetstream.Msg) string {
	t.Helper()
	headers := map[string]any{}
	for name, values := range m.Headers() {
		headers[name] = values[0]
	}
	if m.Headers().Get(schema.HeaderReason) != "" {
		c.check(t, "quarantine-headers", headers)
		return "quarantine"
	}
	c.check(t, "headers", headers)
	decoded, err := schema.Decode(m.Data())
	if err != nil {
		t.Fatal(err)
	}
	name, anyType := strings.TrimPrefix(decoded.Type, "com.mews."), "integration-event"
	if _, ok := decoded.Change(); ok {
		anyType = "event"
	}
	c.check(t, anyType, parseJSON(t, m.Data()))
	if c[name] != nil {
		c.check(t, name, parseJSON(t, m.Data()))
	}
	var e event.Event
	if err := errors.Join(json.Unmarshal(m.Data(), &e), e.Validate()); err != nil {
		t.Errorf("CloudEvents SDK: %v", err)
	}
	if e.ID() != m.Headers().Get(schema.HeaderMsgID) {
		t.Errorf("id %s in a message with the headers %v", e.ID(), m.Headers())
	}
	return name
}

// TestARunFollowsTheSchemas sends simulated and odd webhooks to the real program, in the clear and sealed, and holds
// every body and every stored message to the schemas.
func TestARunFollowsTheSchemas(t *testing.T) {
	_, key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{"clear": nil, "sealed": {"MEWSBRIDGE_SEAL_TO=" + key}} {
		t.Run(name, func(t *testing.T) {
			c := newContract(t)
			p := startServe(t, t.TempDir(), append(env, "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_STREAMS_LATEST=true")...)
			url := p.webhooks + "?Token=" + testToken
			const webhooks, events = 60, 5
			for kind, generator := range map[string]simulator.Generator{"general-webhook": {Seed: 1, Events: events}, "integration-webhook": {Seed: 2, Integration: true}} {
				for number := range webhooks {
					c.check(t, kind, parseJSON(t, generator.Body(number)))
				}
				sender := simulator.Sender{Client: simulator.NewClient(8), URL: url}
				report := simulator.Runner{Sender: sender, Body: generator.Body, Webhooks: webhooks, Concurrency: 8}.Run(t.Context())
				sender.Client.CloseIdleConnections()
				if report.Delivered != webhooks {
					t.Fatalf("%s: %d of %d delivered", kind, report.Delivered, webhooks)
				}
			}
			for body, status := range map[string]int{
				`{"Events":[{"Discriminator":"BillUpdated","Value":7},{}]}`: 202, `{"Action":"IntegrationRenamed"}`: 202, `[]`: 202, `{`: 400,
			} {
				if got, answer := post(t, url, body); got != status {
					t.Errorf("%s: %d %s", body, got, answer)
				}
			}
			seen := map[string]int{}
			for _, m := range storedMessages(t, p.nats) {
				seen[c.checkMessage(t, m)]++
			}
			if want := webhooks*events + webhooks + 5; total(seen) != want || seen["quarantine"] != 3 {
				t.Errorf("%d messages, want %d: %v", total(seen), want, seen)
			}
			// Every event of the run is of another entity, so that the stream of the newest ones gets them all.
			natstest.Eventually(t, "the newest events", func() bool { return streamLength(t, p.nats, schema.LatestStream("mews")) == webhooks*events+1 })
			for _, d := range schema.Documents()[3:] {
				if name := d.Name; c[name] != nil && strings.ToUpper(name[:1]) == name[:1] && seen[name] == 0 {
					t.Errorf("no message of type %s", name)
				}
			}
		})
	}
}

func total(counts map[string]int) int {
	n := 0
	for _, count := range counts {
		n += count
	}
	return n
}

// streamLength returns how many messages a stream has.
func streamLength(t *testing.T, url, name string) uint64 {
	t.Helper()
	js := connectJetStream(t, url)
	defer js.Conn().Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// connectJetStream connects to the server of a process; the caller closes the connection.
func connectJetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// storedMessages reads the three streams.
func storedMessages(t *testing.T, url string) []jetstream.Msg {
	t.Helper()
	js := connectJetStream(t, url)
	defer js.Conn().Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all []jetstream.Msg
	for _, kind := range schema.Kinds() {
		stream, err := js.Stream(ctx, kind.Stream("mews"))
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for range stream.CachedInfo().State.Msgs {
			m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatal(fmt.Errorf("read %s: %w", kind.Stream("mews"), err))
			}
			all = append(all, m)
		}
	}
	return all
}
