package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/publisher"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// natsAPITimeout bounds one question to JetStream.
const natsAPITimeout = 5 * time.Second

// natsFlags say how a command finds the streams. What they leave out comes from the environment and the configuration file,
// by the names that serve knows.
type natsFlags struct {
	url, creds, prefix, file string

	// What the settings say; set before the command runs.
	from       sources
	connection publisher.Config
	sealer     *seal.Sealer // nil: nothing is sealed
}

func (f *natsFlags) register(cmd *cobra.Command, env *environment) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "nats", "", "NATS servers, comma separated (default $NATS_URL or "+nats.DefaultURL+")")
	flags.StringVar(&f.creds, "creds", "", "NATS credentials file (default $NATS_CREDS)")
	flags.StringVar(&f.prefix, "prefix", "", "first token of the subjects (default $MEWSBRIDGE_PREFIX or mews)")
	flags.StringVar(&f.file, "config", "", "YAML file of serve, for how to reach NATS")
	f.fromEnvironment(cmd, env)
}

// fromEnvironment fills in what was not given, when the command runs: help must not show a URL with a password.
func (f *natsFlags) fromEnvironment(cmd *cobra.Command, env *environment) {
	cmd.PreRunE = func(*cobra.Command, []string) error {
		c, from, err := f.settings(env)
		if err != nil {
			return withCode(exitConfig, err)
		}
		f.from, f.sealer = from, c.Sealer
		if f.prefix, err = prefixOf(c, from); err != nil {
			return withCode(exitUsage, err)
		}
		if !schema.IsToken(f.prefix) {
			return withCode(exitUsage, errors.New("--prefix must be letters, digits, - and _"))
		}
		if len(c.NATSURL) == 0 {
			c.NATSURL = []string{"nats://" + c.NATSListen}
		}
		f.url = strings.Join(c.NATSURL, ",")
		f.connection = publisher.Config{
			URLs: c.NATSURL, CredsFile: c.NATSCreds, NKeySeedFile: c.NATSNKeySeedFile,
			Username: c.NATSUser, Password: string(c.NATSPassword), Token: string(c.NATSToken),
			TLSCA: c.NATSTLSCA, TLSCert: c.NATSTLSCert, TLSKey: c.NATSTLSKey, Prefix: f.prefix, InboxPrefix: c.NATSInboxPrefix,
		}
		return nil
	}
}

// prefixOf returns the prefix that was set, or else that of the file's endpoints.
func prefixOf(c *Config, from sources) (string, error) {
	_, byFlag := from.flags["prefix"]
	if byFlag || len(from.file.endpoints) == 0 {
		return c.Endpoints[0].Prefix, nil
	}
	var prefixes []string
	for _, e := range from.file.endpoints {
		if prefix := e.values["prefix"].text; !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	if len(prefixes) > 1 {
		return "", fmt.Errorf("the endpoints of %s have several prefixes: give --prefix, one of %s", from.file.name, strings.Join(prefixes, ", "))
	}
	return prefixes[0], nil
}

// settings resolves the settings that say how to reach NATS and how to store, and none of the others.
func (f *natsFlags) settings(env *environment) (*Config, sources, error) {
	from := sources{flags: map[string]string{}, getenv: env.Getenv, file: readConfigFile(f.file)}
	for flag, value := range map[string]string{"nats-url": f.url, "nats-creds": f.creds, "prefix": f.prefix} {
		if value != "" {
			from.flags[flag] = value
		}
	}
	c := &Config{Endpoints: []endpointConfig{{}}}
	errs := from.file.problems
	for _, s := range settings() {
		if s.key != "prefix" && s.key != "seal_to" && !strings.HasPrefix(s.key, "nats.") {
			continue
		}
		text, origin := s.text(from)
		if err := s.set(c, text); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", s.key, origin, err))
		}
	}
	return c, from, errors.Join(errs...)
}

// connect returns a connection that lasts until it is closed. Its errors repeat no URL: it may hold a password.
func (f *natsFlags) connect() (*nats.Conn, jetstream.JetStream, error) {
	options := []nats.Option{nats.Name("mewsbridge"), nats.MaxReconnects(-1), nats.Timeout(2 * time.Second),
		// nats.go would print what goes wrong later to standard error by itself.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	identity, err := f.connection.ConnectOptions()
	if err != nil {
		return nil, nil, withCode(exitConfig, fmt.Errorf("NATS credentials: %w", err))
	}
	conn, err := nats.Connect(f.url, append(options, identity...)...)
	if err != nil {
		return nil, nil, withCode(exitUnavailable, connectError(err))
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(natsAPITimeout))
	if err != nil {
		conn.Close()
		return nil, nil, withCode(exitInternal, fmt.Errorf("use JetStream: %w", err))
	}
	return conn, js, nil
}

func connectError(err error) error {
	if errors.Is(err, nats.ErrAuthorization) {
		return errors.New("NATS refused the credentials: give --creds, or set MEWSBRIDGE_NATS_TOKEN, or MEWSBRIDGE_NATS_USER and MEWSBRIDGE_NATS_PASSWORD")
	}
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("NATS has a certificate that is not trusted here: set MEWSBRIDGE_NATS_TLS_CA to its authority, and ask by a name that the certificate has: %w", untrusted)
	}
	if errors.Is(err, nats.ErrSecureConnWanted) {
		return errors.New("NATS does not speak TLS there: write nats:// in place of tls://, or ask another address")
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
		return nil, withCode(exitUnavailable, fmt.Errorf("NATS has no stream %s: start `mewsbridge serve` with this NATS once, or give the --prefix it uses", name))
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return nil, withCode(exitUnavailable, errors.New("this NATS has no JetStream: it is not the one that the bridge uses"))
	default:
		return nil, withCode(exitUnavailable, fmt.Errorf("look up stream %s: %w", name, err))
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
