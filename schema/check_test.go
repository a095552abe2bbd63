package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mewsbridge/schema"
)

// headers returns how many bytes the NATS headers of m take.
func headers(m schema.Message) int {
	n := len("NATS/1.0\r\n\r\n")
	add := func(name, value string) { n += len(name) + len(": ") + len(value) + len("\r\n") }
	add(schema.HeaderMsgID, m.ID)
	if m.Traceparent != "" {
		add(schema.HeaderTraceparent, m.Traceparent)
	}
	if q := m.Quarantine; q != nil {
		add(schema.HeaderReason, string(q.Reason))
		add(schema.HeaderOffset, fmt.Sprint(q.Offset))
		add(schema.HeaderEndpoint, q.Endpoint)
		add(schema.HeaderReceived, q.Received.Format(time.RFC3339Nano))
	} else {
		add(schema.HeaderContentType, schema.ContentType)
	}
	return n
}

// checkMessages holds messages to what is true of every webhook. Without a body it leaves out what needs one.
func checkMessages(t *testing.T, body []byte, w *schema.Webhook, messages []schema.Message) {
	t.Helper()
	if want := elements(body); body != nil && w.Kind == schema.KindEvent && len(messages) != len(want) {
		t.Fatalf("%d messages for %d elements", len(messages), len(want))
	} else if body != nil && w.Kind == schema.KindEvent {
		for i, raw := range want {
			checkElement(t, raw, messages[i])
		}
	}
	published, total := 0, 0
	for i, m := range messages {
		if want := fmt.Sprintf("%s-%d", receipt().Delivery, i); !strings.HasSuffix(m.ID, fmt.Sprintf("-%d", i)) {
			t.Errorf("message %d has id %s, want %s", i, m.ID, want)
		}
		total += len(m.Data) + headers(m)
		if size := len(m.Data) + headers(m); body != nil && size > len(body)+schema.MaxMessageOverhead-512 {
			t.Errorf("message of %d bytes from a body of %d", size, len(body))
		}
		if (m.Kind == schema.KindQuarantine) != (m.Quarantine != nil) {
			t.Errorf("message %d of kind %s: quarantine headers %v", i, m.Kind, m.Quarantine)
		}
		if m.Kind != schema.KindQuarantine {
			published++
			checkCloudEvent(t, m)
		}
	}
	if w.Published() != published || w.Quarantined() != len(messages)-published {
		t.Errorf("%d published and %d quarantined of %d", w.Published(), w.Quarantined(), len(messages))
	}
	if len(messages) > 1 && total > schema.MaxExpansion {
		t.Errorf("%d bytes of messages", total)
	}
}

func checkCloudEvent(t *testing.T, m schema.Message) {
	t.Helper()
	var event struct {
		ID, Type string
		Data     map[string]json.RawMessage
	}
	if err := json.Unmarshal(m.Data, &event); err != nil {
		t.Fatalf("message is not JSON: %v\n%s", err, m.Data)
	}
	if event.ID != m.ID || !strings.HasPrefix(event.Type, "com.mews.") || event.Data == nil {
		t.Errorf("message %s: %s", m.ID, m.Data)
	}
}

// checkElement makes sure that the bytes of an element are all there, and at the end of the data.
func checkElement(t *testing.T, raw []byte, m schema.Message) {
	t.Helper()
	if m.Kind == schema.KindQuarantine {
		if !bytes.Equal(m.Data, raw) {
			t.Errorf("quarantined %q, want %q", m.Data, raw)
		}
		return
	}
	if !bytes.HasSuffix(m.Data, append(raw[1:len(raw):len(raw)], '}')) {
		t.Errorf("message %q does not end in %q", m.Data, raw)
	}
}

// elements splits a body that has an array Events by another parser.
func elements(body []byte) []json.RawMessage {
	var top map[string]json.RawMessage
	var events []json.RawMessage
	if json.Unmarshal(body, &top) == nil {
		_ = json.Unmarshal(top["Events"], &events)
	}
	return events
}
