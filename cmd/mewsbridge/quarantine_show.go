package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// quarantineShowOptions are the flags of quarantine show.
type quarantineShowOptions struct {
	nats   natsFlags
	choice selection
	sealed sealedFlags
	around int
	reveal bool
	raw    bool
	json   bool
}

func newQuarantineShowCommand(env *environment) *cobra.Command {
	o := &quarantineShowOptions{}
	cmd := &cobra.Command{
		Use:   "show SEQUENCE...",
		Short: "Show quarantined messages and the place of the fault",
		Long: `Show quarantined messages: what is known of them, and the bytes around the fault, with a caret
under the byte at which it was seen. Each byte takes one column; one that cannot be printed is a dot.

The bytes may hold credentials and personal data. A star stands for each byte that is not the
punctuation of JSON, the name of a member, a type, or an id that is a UUID. --reveal shows all.`,
		Example: `  mewsbridge quarantine show 12
  mewsbridge quarantine show 12 --raw --reveal > body.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("say which: one or more sequences of `mewsbridge quarantine list`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runQuarantineShow(cmd.Context(), env, o, args) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.around, "context", 256, "bytes to show before and after the fault (0: all)")
	flags.BoolVar(&o.reveal, "reveal", false, "do not mask credentials and personal data")
	flags.BoolVar(&o.raw, "raw", false, "write the bytes alone, as they are, to a file or a pipe")
	flags.BoolVar(&o.json, "json", false, "print one JSON object a line, with the whole bytes: masked as text, with --reveal in base64 as raw")
	o.sealed.register(cmd)
	o.nats.register(cmd, env)
	return cmd
}

func runQuarantineShow(ctx context.Context, env *environment, o *quarantineShowOptions, args []string) error {
	if err := o.validate(env, args); err != nil {
		return withCode(exitUsage, err)
	}
	opener, err := newOpener(env, o.sealed.keyFile)
	if err != nil {
		return err
	}
	conn, _, stream, err := openQuarantine(ctx, &o.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	printed := 0
	return o.choice.each(ctx, stream, o.nats.prefix, true, func(h held) error {
		if printed++; printed > 1 && !o.json && !o.raw {
			fmt.Fprintln(env.Stdout)
		}
		h, closed := h.unsealed(opener)
		if closed != nil && (o.raw || o.json) {
			return withCode(exitVerdict, fmt.Errorf("message %d: %w", h.Sequence, closed))
		}
		return withCode(exitInternal, o.print(env.Stdout, h, closed))
	})
}

func (o *quarantineShowOptions) validate(env *environment, args []string) error {
	if err := o.choice.read(args); err != nil {
		return err
	}
	_, terminal := terminalWidth(env.Stdout)
	switch {
	case o.around < 0:
		return errors.New("--context must not be negative")
	case o.raw && o.json:
		return errors.New("--raw and --json are different forms: give one")
	case o.raw && !o.reveal:
		return errors.New("--raw writes the bytes as they are, with any credential in them: add --reveal")
	case o.raw && len(o.choice.sequences) > 1:
		return errors.New("--raw takes one sequence: the bytes of several would run into each other")
	case o.raw && terminal:
		return errors.New("--raw is not for a terminal, which raw bytes could steer: send it to a file or a pipe")
	}
	return nil
}

// shownMessage is a message as --json shows it.
type shownMessage struct {
	held
	Text string `json:"text,omitempty"` // masked
	Raw  []byte `json:"raw,omitempty"`
}

// print shows a message; closed says why its bytes cannot be read.
func (o *quarantineShowOptions) print(out io.Writer, h held, closed error) error {
	switch {
	case o.raw:
		_, err := out.Write(h.data)
		return err
	case o.json && o.reveal:
		return json.NewEncoder(out).Encode(shownMessage{held: h, Raw: h.data})
	case o.json:
		return json.NewEncoder(out).Encode(shownMessage{held: h, Text: string(oneColumnEach(maskRaw(h.data), '.'))})
	}
	facts := newFacts(out)
	facts.add("sequence", fmt.Sprint(h.Sequence))
	facts.add("received", clock(h.Received)+" UTC, "+age(h.Received, time.Now())+" ago")
	facts.add("reason", printable(h.Reason)+explained(schema.Reason(h.Reason)))
	if closed != nil {
		facts.add("fault", fmt.Sprintf("at byte %d", h.Offset))
		facts.add("bytes", closed.Error())
	} else {
		facts.add("fault", fmt.Sprintf("at byte %d of %d", h.Offset, len(h.data)))
	}
	facts.add("endpoint", printable(h.Endpoint))
	facts.add("id", printable(h.ID))
	facts.add("subject", printable(h.Subject))
	if err := facts.write(); err != nil || closed != nil {
		return err
	}
	return o.printBytes(out, h)
}

// explained returns what a reason means, as far as there is more to say than its word does.
func explained(reason schema.Reason) string {
	text := map[schema.Reason]string{
		schema.ReasonNotJSON:              "empty, cut off, or against the grammar of JSON",
		schema.ReasonTooDeep:              "more than 10,000 levels",
		schema.ReasonInvalidUTF8:          "a string is not valid UTF-8 or has half a surrogate pair",
		schema.ReasonDuplicateMember:      "an object has two members of one name",
		schema.ReasonInvalidGzip:          "announced as gzip and is not",
		schema.ReasonUnknownKind:          "neither an Events array nor an Action string",
		schema.ReasonInvalidAction:        "a subject cannot hold the Action",
		schema.ReasonTooManyEvents:        fmt.Sprintf("more than %s events", grouped(schema.MaxEvents)),
		schema.ReasonTooLarge:             "its messages together would be more than 64 MiB",
		schema.ReasonNotObject:            "the element of Events is not an object",
		schema.ReasonNoDiscriminator:      "the event has no Discriminator",
		schema.ReasonInvalidDiscriminator: "it is no string that a subject can hold",
	}[reason]
	if text == "" {
		return ""
	}
	return ": " + text
}

// printBytes shows lines of bytes around the fault, each with the offset of its first byte.
func (o *quarantineShowOptions) printBytes(out io.Writer, h held) error {
	if len(h.data) == 0 {
		_, err := fmt.Fprintln(out, "\nThe body is empty.")
		return err
	}
	shown := h.data
	if !o.reveal {
		shown = maskRaw(h.data)
	}
	shown = oneColumnEach(shown, '.')
	perLine := 64
	if columns, terminal := terminalWidth(out); terminal && columns >= 64 {
		perLine = min((columns-12)/16*16, 128)
	}
	fault := int(max(0, min(h.Offset, int64(len(shown)))))
	from, to := 0, len(shown)
	if o.around > 0 {
		from, to = max(0, fault-o.around)/perLine*perLine, min(len(shown), fault+o.around)
	}
	var text strings.Builder
	text.WriteByte('\n')
	if from > 0 {
		fmt.Fprintf(&text, "%s\n", dim(out, fmt.Sprintf("%8s  %s before", "…", plural(from, "byte", "bytes"))))
	}
	for at := from; at < to || at == fault; at += perLine { // a fault at the end may need a line of its own
		line := shown[min(at, to):min(at+perLine, to)]
		fmt.Fprintf(&text, "%s  %s\n", dim(out, fmt.Sprintf("%8d", at)), line)
		if fault >= at && fault < at+perLine {
			fmt.Fprintf(&text, "%s%s\n", strings.Repeat(" ", 10+fault-at), painted(out, colourFault, "^ "+faultByte(h.data, fault)))
		}
	}
	if to < len(shown) {
		fmt.Fprintf(&text, "%s\n", dim(out, fmt.Sprintf("%8s  %s after", "…", plural(len(shown)-to, "byte", "bytes"))))
	}
	if !o.reveal {
		fmt.Fprintf(&text, "\n%s\n", dim(out, "* hides what may be a credential or personal; --reveal shows it."))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// faultByte says what stands at the fault; a byte that may be masked is not repeated.
func faultByte(data []byte, at int) string {
	if at >= len(data) {
		return "the end"
	}
	if c := data[at]; c < ' ' || c > '~' {
		return fmt.Sprintf("byte 0x%02x", c)
	}
	return fmt.Sprintf("byte %d", at)
}

// oneColumnEach returns src with other in place of each byte that is not printable ASCII, so that every byte takes one
// column and none steers a terminal.
func oneColumnEach(src []byte, other byte) []byte {
	out := make([]byte, len(src))
	for i, c := range src {
		if c < ' ' || c > '~' {
			c = other
		}
		out[i] = c
	}
	return out
}
