package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/term"

	"mewsbridge/schema"
)

// wideTerminal is how many columns a line with the whole EnterpriseId needs.
const wideTerminal = 120

// The colours of a terminal.
const (
	colourOff   = "\x1b[0m"
	colourDim   = "\x1b[2m"
	colourType  = "\x1b[36m"
	colourFault = "\x1b[31m"
)

// tailPrinter writes messages, one line each.
type tailPrinter struct {
	out         io.Writer
	pretty      bool
	colour      bool
	wide        bool
	showSecrets bool
	open        func([]byte) ([]byte, error) // opens what is sealed; nil leaves it as it is
}

func newTailPrinter(out io.Writer, o *tailOptions) *tailPrinter {
	p := &tailPrinter{out: out, showSecrets: o.showSecrets}
	if width, ok := terminalWidth(out); ok && !o.json {
		p.pretty, p.colour, p.wide = true, true, width >= wideTerminal
	}
	return p
}

// terminalWidth returns the columns of the terminal that w is; ok is false when it is none.
func terminalWidth(w io.Writer) (columns int, ok bool) {
	file, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 80, true
	}
	return columns, true
}

func (p *tailPrinter) print(msg jetstream.Msg) error {
	line, err := p.line(msg)
	if err != nil {
		return err
	}
	_, err = io.WriteString(p.out, line+"\n")
	return err
}

func (p *tailPrinter) line(msg jetstream.Msg) (string, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return "", fmt.Errorf("read metadata: %w", err)
	}
	tokens, data := strings.Split(msg.Subject(), "."), msg.Data()
	if p.open != nil {
		if data, err = p.open(data); err != nil {
			return "", err
		}
	}
	if quarantined := msg.Headers().Get(schema.HeaderReason) != ""; quarantined {
		return p.quarantined(msg.Headers(), data, meta)
	}
	if !p.pretty {
		data, err := mask(data, p.showSecrets)
		return string(data), err
	}
	return p.aligned(meta.Timestamp, tokens[2:]), nil
}

// aligned writes when, the type, and the ids: of the enterprise, where there is one, and of the entity.
func (p *tailPrinter) aligned(at time.Time, tokens []string) string {
	columns := []string{p.paint(colourDim, at.Local().Format(time.TimeOnly)), p.paint(colourType, fmt.Sprintf("%-24s", tokens[0]))}
	if len(tokens) > 2 {
		enterprise := tokens[1]
		if !p.wide && len(enterprise) > 8 {
			enterprise = enterprise[:7] + "…"
		}
		columns = append(columns, p.paint(colourDim, enterprise))
	}
	return strings.Join(append(columns, tokens[len(tokens)-1]), " ")
}

// quarantineLine is what is shown of quarantined bytes.
type quarantineLine struct {
	Time     time.Time `json:"time"`
	ID       string    `json:"id"`
	Reason   string    `json:"reason"`
	Offset   string    `json:"offset"`
	Endpoint string    `json:"endpoint"`
	Bytes    int       `json:"bytes"`
	Raw      string    `json:"raw,omitzero"`
}

// quarantined shows the bytes themselves only when credentials may be shown: nobody knows what is in them.
func (p *tailPrinter) quarantined(header nats.Header, data []byte, meta *jetstream.MsgMetadata) (string, error) {
	q := quarantineLine{Time: meta.Timestamp.UTC(), ID: header.Get(schema.HeaderMsgID), Reason: header.Get(schema.HeaderReason),
		Offset: header.Get(schema.HeaderOffset), Endpoint: header.Get(schema.HeaderEndpoint), Bytes: len(data)}
	if p.showSecrets {
		q.Raw = strconv.QuoteToASCII(string(data))
	}
	if !p.pretty {
		line, err := json.Marshal(q)
		return string(line), err
	}
	line := p.paint(colourDim, meta.Timestamp.Local().Format(time.TimeOnly)) + " " +
		p.paint(colourType, fmt.Sprintf("%-24s", q.Reason)) + fmt.Sprintf(" at byte %s of %d", q.Offset, q.Bytes)
	if q.Raw != "" {
		line += " " + q.Raw
	}
	return line, nil
}

func (p *tailPrinter) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return colour + text + colourOff
}
