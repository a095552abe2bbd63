package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// natsAPITimeout bounds one question to JetStream.
const natsAPITimeout = 5 * time.Second

// natsFlags say how a command that reads the streams finds them.
type natsFlags struct {
	url    string
	creds  string
	prefix string
}

func (f *natsFlags) register(cmd *cobra.Command, env *environment) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "nats", "", "NATS servers, comma separated (default $NATS_URL or "+nats.DefaultURL+")")
	flags.StringVar(&f.creds, "creds", "", "NATS credentials file (default $NATS_CREDS)")
	flags.StringVar(&f.prefix, "prefix", "", "first token of the subjects (default $MEWSBRIDGE_PREFIX or mews)")
	f.fromEnvironment(cmd, env)
}

// fromEnvironment fills in what was not given, when the command runs: help must not show a URL with a password.
func (f *natsFlags) fromEnvironment(cmd *cobra.Command, env *environment) {
	cmd.PreRunE = func(*cobra.Command, []string) error {
		f.url = firstOf(f.url, env.Getenv("NATS_URL"), nats.DefaultURL)
		f.creds = firstOf(f.creds, env.Getenv("NATS_CREDS"))
		f.prefix = firstOf(f.prefix, env.Getenv("MEWSBRIDGE_PREFIX"), "mews")
		if !schema.IsToken(f.prefix) {
			return withCode(64, errors.New("--prefix must be letters, digits, - and _"))
		}
		return nil
	}
}

// connect returns a connection that lasts until it is closed. Its errors repeat no URL: it may hold a password.
func (f *natsFlags) connect() (*nats.Conn, jetstream.JetStream, error) {
	options := []nats.Option{nats.Name("mewsbridge"), nats.MaxReconnects(-1), nats.Timeout(2 * time.Second),
		// nats.go would print what goes wrong later to standard error by itself.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if f.creds != "" {
		if _, err := os.Stat(f.creds); err != nil {
			return nil, nil, withCode(78, fmt.Errorf("read NATS credentials file: %w", err))
		}
		options = append(options, nats.UserCredentials(f.creds))
	}
	conn, err := nats.Connect(f.url, options...)
	if err != nil {
		return nil, nil, withCode(69, connectError(err))
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(natsAPITimeout))
	if err != nil {
		conn.Close()
		return nil, nil, withCode(70, fmt.Errorf("use JetStream: %w", err))
	}
	return conn, js, nil
}

func connectError(err error) error {
	if errors.Is(err, nats.ErrAuthorization) {
		return errors.New("NATS refused the credentials: give --creds, or user and password in --nats")
	}
	return errors.New("NATS does not answer: start `mewsbridge serve`, or say where it is with --nats nats://host:4222")
}

// stream returns the kind's stream with its present state, or an error that says what to do.
func (f *natsFlags) stream(ctx context.Context, js jetstream.JetStream, kind schema.Kind) (jetstream.Stream, error) {
	name := kind.Stream(f.prefix)
	stream, err := js.Stream(ctx, name)
	switch {
	case err == nil:
		return stream, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, withCode(69, fmt.Errorf("NATS has no stream %s: start `mewsbridge serve` with this NATS once, or give the --prefix it uses", name))
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return nil, withCode(69, errors.New("this NATS has no JetStream: it is not the one that the bridge uses"))
	default:
		return nil, withCode(69, fmt.Errorf("look up stream %s: %w", name, err))
	}
}

// splitList returns the values of a flag that may be repeated and comma separated, without empty ones.
func splitList(values []string) []string {
	var list []string
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
