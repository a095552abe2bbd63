package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema/seal"
)

// Where the private keys are when no file is given.
const envUnsealKey = "MEWSBRIDGE_UNSEAL_KEY"

// unsealOptions are the flags of unseal.
type unsealOptions struct {
	nats       natsFlags
	keyFile    string
	since      moment
	fromNATS   bool
	quarantine bool
}

func newUnsealCommand(env *environment) *cobra.Command {
	o := &unsealOptions{}
	cmd := &cobra.Command{
		Use:   "unseal",
		Short: "Print sealed messages in the clear",
		Long: `Open what the bridge sealed, and print each message as one JSON object a line: messages from standard input or, with
--since, the integration events that NATS has kept since then. Beware: this prints credentials.

The private key is read from --key-file or from $MEWSBRIDGE_UNSEAL_KEY; while a key is being replaced, either may hold several.
Exit code 1 says that some message could not be opened.`,
		Example: `  mewsbridge unseal --key-file mews.key --since 24h
  mewsbridge unseal --key-file mews.key --since 24h --quarantine
  mewsbridge tail --integrations --show-credentials --json | mewsbridge unseal --key-file mews.key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.fromNATS = cmd.Flags().Changed("since")
			return runUnseal(cmd.Context(), env, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "key-file", "", "file with private curve keys (SX…), one a line (default the keys in $"+envUnsealKey+")")
	flags.Var(&o.since, "since", "read from NATS what was stored since then: 90m ago, or 2026-01-31T08:00:00Z")
	flags.BoolVar(&o.quarantine, "quarantine", false, "with --since: the quarantine instead")
	o.nats.register(cmd, env)
	return cmd
}

func runUnseal(ctx context.Context, env *environment, o *unsealOptions) error {
	if o.quarantine && !o.fromNATS {
		return withCode(exitUsage, errors.New("--quarantine goes with --since"))
	}
	opener, err := o.opener(env)
	if err != nil {
		return err
	}
	u := &unsealer{env: env, opener: opener}
	if o.fromNATS {
		err = u.stream(ctx, o)
	} else {
		err = u.standardInput()
	}
	if err == nil && u.failed > 0 {
		return withCode(exitVerdict, fmt.Errorf("%d of %s could not be opened", u.failed, plural(u.read, "message", "messages")))
	}
	return err
}

// opener returns what opens with the private keys that were given.
func (o *unsealOptions) opener(env *environment) (*seal.Opener, error) {
	opener, err := newOpener(env, o.keyFile)
	if err == nil && opener == nil {
		err = withCode(exitUsage, errors.New("no private key: give --key-file, or set "+envUnsealKey))
	}
	return opener, err
}

// newOpener reads the private keys from the file, when one is named, or from the environment; without any it returns nil. Errors do
// not repeat them.
func newOpener(env *environment, keyFile string) (*seal.Opener, error) {
	text := env.Getenv(envUnsealKey)
	if keyFile != "" {
		data, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("read private key: %w", err))
		}
		text = string(data)
	}
	var seeds [][]byte
	for _, seed := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r <= ' ' }) {
		seeds = append(seeds, []byte(seed))
	}
	if len(seeds) == 0 {
		return nil, nil
	}
	opener, err := seal.NewOpener(seeds...)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("private key: %w", err))
	}
	return opener, nil
}

// unsealer prints messages, and counts those that it could not open.
type unsealer struct {
	env          *environment
	opener       *seal.Opener
	read, failed int
}

// note tells about a message that could not be opened; the others go on.
func (u *unsealer) note(err error) {
	u.failed++
	fmt.Fprintf(u.env.Stderr, "mewsbridge: message %d: %v\n", u.read, err)
}

// standardInput opens JSON values, one after another.
func (u *unsealer) standardInput() error {
	decoder := jsontext.NewDecoder(u.env.Stdin, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		value, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			return nil
		}
		u.read++
		if err != nil {
			return withCode(exitUsage, fmt.Errorf("standard input: message %d is not JSON", u.read))
		}
		if err := value.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return withCode(exitUsage, fmt.Errorf("standard input: message %d is not JSON", u.read))
		}
		plain, err := u.opener.Open(value)
		if err != nil {
			u.note(err)
			continue
		}
		if _, err := u.env.Stdout.Write(append(bytes.Clone(plain), '\n')); err != nil {
			return withCode(exitInternal, err)
		}
	}
}

// stream opens what the stream holds now.
func (u *unsealer) stream(ctx context.Context, o *unsealOptions) error {
	tail := &tailOptions{nats: o.nats, since: o.since, integrations: !o.quarantine, quarantine: o.quarantine, json: true, showSecrets: true}
	conn, js, err := tail.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := tail.nats.stream(ctx, js, tail.kind())
	if err != nil {
		return interruptedOr(ctx, err)
	}
	printer := newTailPrinter(u.env.Stdout, tail)
	printer.open = u.opener.Open
	err = readStream(ctx, stream, tail.consumer(stream), stream.CachedInfo().State.LastSeq, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		u.read++
		line, err := printer.line(msg)
		if err != nil {
			u.note(err)
			return nil
		}
		if _, err := fmt.Fprintln(u.env.Stdout, line); err != nil {
			return withCode(exitInternal, err)
		}
		return nil
	})
	return interruptedOr(ctx, err)
}
