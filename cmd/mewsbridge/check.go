package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

func newCheckCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, and with --live the NATS that it names",
		Long: `Check the configuration of serve, and the files that it names, without starting anything or using the network.

With --live it also asks NATS, as the user of the bridge, for everything that the bridge needs of it: the server, JetStream,
permissions, limits, and each stream. It stores and changes nothing. It ends with what a 202 is worth there.

Exit code 0 when all is well, 1 when NATS lacks something, 69 when it cannot be reached, 78 when the configuration is not valid.`,
		Example: `  mewsbridge check --config mewsbridge.yaml
  NATS_URL=nats://n1:4222 NATS_CREDS=bridge.creds mewsbridge check --live`,
		Args: noArgs,
	}
	live := cmd.Flags().Bool("live", false, "ask NATS too")
	load := settingFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		list := &checklist{}
		cfg.describe(list, time.Now())
		var unreachable error
		if *live {
			unreachable = cfg.checkLive(cmd.Context(), list)
		} else if cfg.Embedded() {
			list.add(stateNote, "durability", durableEmbedded)
		} else {
			list.add(stateNote, "durability", "what a 202 is worth depends on that NATS: ask it with --live")
		}
		if err := list.write(env.Stdout); err != nil {
			return withCode(exitInternal, err)
		}
		if unreachable != nil {
			return withCode(exitUnavailable, unreachable)
		}
		if n := list.problems(); n > 0 {
			return withCode(exitVerdict, fmt.Errorf("%s: the bridge would not store webhooks as it is configured", plural(n, "problem", "problems")))
		}
		return nil
	}
	return cmd
}

// States of a row.
const (
	stateOK      = "ok"
	stateNote    = "note" // nothing is wrong, and one should know
	stateWarning = "warning"
	stateProblem = "problem" // webhooks would not be stored
)

// checklist is what was looked at, in order.
type checklist struct{ rows []checkRow }

type checkRow struct{ state, what, text string }

func (l *checklist) add(state, what, format string, args ...any) {
	l.rows = append(l.rows, checkRow{state, what, fmt.Sprintf(format, args...)})
}

func (l *checklist) problems() int {
	n := 0
	for _, row := range l.rows {
		if row.state == stateProblem {
			n++
		}
	}
	return n
}

// checkWidth is where lines break when out is not a terminal.
const checkWidth = 120

// write prints a row after another, long texts on several lines below each other.
func (l *checklist) write(out io.Writer) error {
	stateWidth, whatWidth := len(stateProblem), 0
	for _, row := range l.rows {
		whatWidth = max(whatWidth, utf8.RuneCountInString(row.what))
	}
	width, terminal := terminalWidth(out)
	if !terminal {
		width = checkWidth
	}
	indent := stateWidth + whatWidth + 4
	var text strings.Builder
	for _, row := range l.rows {
		state := fmt.Sprintf("%-*s", stateWidth, row.state)
		if row.state == stateWarning || row.state == stateProblem {
			state = painted(out, colourFault, state)
		}
		lines := folded(row.text, max(width-indent, 30))
		fmt.Fprintf(&text, "%s  %-*s  %s\n", state, whatWidth, row.what, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&text, "%*s%s\n", indent, "", line)
		}
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// folded breaks text between words into lines of at most width characters, where the words allow it. There is a line at least.
func folded(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// certificateSoon is when a certificate's end is near enough to be said.
const certificateSoon = 14 * 24 * time.Hour

// describe says what serve would do.
func (c *Config) describe(l *checklist, now time.Time) {
	for _, e := range c.Endpoints {
		l.add(stateOK, "endpoint "+e.Name, "%s; %s; %s; to %s", e.Path, e.describeTokens(), e.describeNetworks(), strings.Join(streamsOf(e.Prefix), ", "))
	}
	switch {
	case c.TLSCert != "":
		c.describeCertificate(l, now)
	case c.servesTLS():
		l.add(stateOK, "webhooks", "at %s, with TLS; certificates by ACME for %s", c.Listen, strings.Join(c.ACMEHosts, ", "))
	default:
		l.add(stateNote, "webhooks", "at %s, without TLS: Mews needs https, so a proxy in front has to speak it", c.Listen)
	}
	switch {
	case c.AdminToken != "":
		l.add(stateOK, "admin", "at %s, with a token", c.AdminListen)
	case c.AdminInsecure:
		l.add(stateWarning, "admin", "at %s, without a token (admin_insecure): the network has to keep others away", c.AdminListen)
	default:
		l.add(stateOK, "admin", "at %s, for this machine only", c.AdminListen)
	}
	if c.Embedded() {
		l.add(stateOK, "NATS", "embedded, streams in %s; services read at %s", c.embeddedConfig().StoreDir, c.NATSListen)
		if c.hub() != nil {
			l.add(stateNote, "hub", "check does not ask it; what it misses does not keep webhooks from being stored here")
		}
	} else {
		l.add(stateOK, "NATS", "%s, %s, %s", strings.Join(redacted(c.NATSURL), ", "), c.describeIdentity(), plural(c.Replicas, "replica", "replicas"))
	}
	if len(c.Leaf.URL) > 0 {
		l.add(stateOK, "hub", "%s, whose domain %s fetches from domain %s here", strings.Join(redacted(c.Leaf.URL), ", "), c.Leaf.HubDomain, c.Leaf.Domain)
	}
	if c.Sealer == nil {
		l.add(stateNote, "credentials", "stored in the clear, in the streams of integrations and perhaps the quarantine: seal_to seals them")
	} else {
		l.add(stateOK, "credentials", "sealed to %s", c.Sealer.Key())
	}
}

func (c *Config) describeCertificate(l *checklist, now time.Time) {
	certificate, err := readCertificate(c.TLSCert, c.TLSKey)
	if err != nil {
		l.add(stateProblem, "webhooks", "%v", err)
		return
	}
	state, ends := stateOK, certificate.Leaf.NotAfter
	if ends.Sub(now) < certificateSoon {
		state = stateWarning
	}
	l.add(state, "webhooks", "at %s, with TLS; the certificate for %s ends on %s", c.Listen, strings.Join(certificate.Leaf.DNSNames, ", "), ends.UTC().Format(time.DateOnly))
}

func (e *endpointConfig) describeTokens() string {
	if len(e.Tokens) == 0 {
		return "a token that is made and kept in the data dir"
	}
	word := "tokens "
	if len(e.Tokens) == 1 {
		word = "token "
	}
	return word + strings.Join(tokenNames(e.Tokens), ", ")
}

func (e *endpointConfig) describeNetworks() string {
	if len(e.Allow) == 0 {
		return "from any network"
	}
	var networks []string
	for _, n := range e.Allow {
		networks = append(networks, n.String())
	}
	return "from " + strings.Join(networks, ", ")
}

// describeIdentity says as whom the bridge connects, without anything secret.
func (c *Config) describeIdentity() string {
	switch {
	case c.NATSCreds != "":
		return "as in " + c.NATSCreds
	case c.NATSNKeySeedFile != "":
		return "with the nkey in " + c.NATSNKeySeedFile
	case c.NATSUser != "":
		return "as user " + c.NATSUser
	case c.NATSToken != "":
		return "with a token"
	}
	for _, text := range c.NATSURL {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			return "with the credentials in the URL"
		}
	}
	return "without credentials"
}

func streamsOf(prefix string) []string {
	var names []string
	for _, kind := range schema.Kinds() {
		names = append(names, kind.Stream(prefix))
	}
	return names
}
