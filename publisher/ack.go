package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"mewsbridge/schema"
)

// Error codes of JetStream that decide what happens next (nats-server, errors.json).
const (
	codeTooManyRequests      = 10167 // the stream's inbound queue is full
	codeTemporarily          = 10008 // JetStream system temporarily unavailable
	codeNotLeader            = 10009
	codeMessageTooLarge      = 10054
	codeHeaderTooLarge       = 10097
	codeStreamOffline        = 10118
	codeDuplicateInProcess   = 10158
	codeAtomicDisabled       = 10174
	codeBatchMissingSequence = 10175
	codeBatchIncomplete      = 10176
	codeBatchTooLarge        = 10199
	codeBatchDuplicate       = 10201
	codeBatchTooManyInflight = 10210
)

// ack is what JetStream says of a publish or of a batch.
type ack struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	Count  int    `json:"count"`
	Error  *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// verdict is what an attempt came to.
type verdict uint8

const (
	stored      verdict = iota // in the stream
	tryAgain                   // nothing is known or nothing was stored; the same ids may be sent again soon
	tryAlone                   // a batch was refused because of a duplicate id: each webhook by plain publishes
	tryPlain                   // this stream takes no atomic batches, or none of that size
	nobodyThere                // no stream answers
	refused                    // JetStream will not store it; trying again within seconds is of no use
)

// refusal is a negative acknowledgement. Its text is JetStream's own and holds nothing of the message.
type refusal struct {
	kind error // one of schema.Err…
	code int   // JetStream's error code, 0 when there is none
	text string
}

func (r *refusal) Error() string { return r.kind.Error() + ": " + r.text }
func (r *refusal) Unwrap() error { return r.kind }

// readAck judges the answer to a plain publish or, with count > 0, to the commit of a batch of that size.
// Only an acknowledgement of our own stream counts.
func readAck(m *nats.Msg, stream string, count int) (verdict, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nobodyThere, &refusal{schema.ErrStreamMissing, 0, "no stream answers on its subject"}
	}
	if count == 0 && plainSuccess(m.Data, stream) {
		return stored, nil
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return tryAgain, &refusal{schema.ErrUnavailable, 0, "an acknowledgement cannot be read"}
	}
	if a.Error != nil {
		code := a.Error.ErrCode
		return judge(code), &refusal{kindOf(code), code, fmt.Sprintf("%s (%d)", a.Error.Description, code)}
	}
	switch {
	case a.Stream != stream || a.Seq == 0:
		return refused, &refusal{schema.ErrStreamMissing, 0, "stream " + strconv.Quote(a.Stream) + " answers in place of " + stream}
	case a.Count != count:
		// A server that does not know batches stores their messages one by one and acknowledges the last.
		return tryPlain, &refusal{schema.ErrUnavailable, 0, "the server does not know atomic batches"}
	}
	return stored, nil
}

// plainSuccess recognises the usual acknowledgement without decoding it.
func plainSuccess(data []byte, stream string) bool {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	return ok && len(rest) > len(stream)+1 && string(rest[:len(stream)]) == stream && rest[len(stream)] == '"' &&
		bytes.Contains(rest, []byte(`"seq":`)) && !bytes.Contains(rest, []byte(`"seq":0`)) && !bytes.Contains(rest, []byte(`"error"`))
}

func judge(code int) verdict {
	switch code {
	case codeBatchDuplicate:
		return tryAlone
	case codeAtomicDisabled, codeBatchTooLarge, codeBatchMissingSequence:
		return tryPlain
	case codeBatchIncomplete, codeBatchTooManyInflight, codeDuplicateInProcess, codeTooManyRequests,
		codeTemporarily, codeNotLeader, codeStreamOffline:
		return tryAgain
	}
	return refused
}

// concernsOneMessage reports whether a refusal says nothing of the other messages of a batch.
func concernsOneMessage(code int) bool {
	return code == codeMessageTooLarge || code == codeHeaderTooLarge
}

// codeOf returns JetStream's error code in err, or 0.
func codeOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code
	}
	return 0
}

func kindOf(code int) error {
	if judge(code) == refused {
		return schema.ErrRefused
	}
	return schema.ErrUnavailable
}

// parseReply reads what follows the inbox in the subject of an acknowledgement: "<flight>.<index>" for a plain
// publish, "<flight>.0.<count>" for the commit of a batch of count messages.
func parseReply(token string) (flight uint64, index, count int, ok bool) {
	head, tail, found := strings.Cut(token, ".")
	if !found {
		return 0, 0, 0, false
	}
	flight, err := strconv.ParseUint(head, 36, 64)
	if err != nil {
		return 0, 0, 0, false
	}
	tail, size, isBatch := strings.Cut(tail, ".")
	if isBatch {
		if count, err = strconv.Atoi(size); err != nil {
			return 0, 0, 0, false
		}
	}
	index, err = strconv.Atoi(tail)
	return flight, index, count, err == nil && index >= 0
}
