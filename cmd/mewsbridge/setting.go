package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/crypto/acme/autocert"
)

// setting is one row of the table of settings: a key of the configuration file, an environment variable and a flag of
// serve, all for one field of Config.
type setting struct {
	key     string // in the file; dots nest
	env     string
	initial string // the default, as it would be written
	help    string
	set     func(c *Config, text string) error
}

// flag returns the name of the setting's flag.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// boolean reports whether the setting is true or false; one that is has such a default.
func (s setting) boolean() bool { return s.initial == "true" || s.initial == "false" }

// settingOf returns the row of the table with that key.
func settingOf(key string) setting {
	for _, s := range settings() {
		if s.key == key {
			return s
		}
	}
	panic("the table of settings has no " + key)
}

// settings returns the table, in the order in which help and documentation show it.
func settings() []setting {
	text := func(field func(*Config) *string) func(*Config, string) error {
		return func(c *Config, v string) error { *field(c) = v; return nil }
	}
	hidden := func(field func(*Config) *secret) func(*Config, string) error {
		return func(c *Config, v string) error { *field(c) = secret(v); return nil }
	}
	list := func(field func(*Config) *[]string) func(*Config, string) error {
		return func(c *Config, v string) error { *field(c) = splitList([]string{v}); return nil }
	}
	flag := func(field func(*Config) *bool) func(*Config, string) error {
		return func(c *Config, v string) error { return parseBool(field(c), v) }
	}
	networks := func(field func(*Config) *[]netip.Prefix) func(*Config, string) error {
		return func(c *Config, v string) error { return parseNetworks(field(c), v) }
	}
	span := func(field func(*Config) *time.Duration) func(*Config, string) error {
		return func(c *Config, v string) error { return parseSpan(field(c), v) }
	}
	number := func(field func(*Config) *int) func(*Config, string) error {
		return func(c *Config, v string) error { return parseNumber(field(c), v) }
	}
	endpoint := func(field func(*endpointConfig) *string) func(*Config, string) error { // of the one endpoint that c has
		return func(c *Config, v string) error { *field(&c.Endpoints[0]) = v; return nil }
	}
	return []setting{
		{"listen", "MEWSBRIDGE_LISTEN", ":8080", "address for webhooks", text(func(c *Config) *string { return &c.Listen })},
		{"admin_listen", "MEWSBRIDGE_ADMIN_LISTEN", "127.0.0.1:8081", "address for /livez, /readyz, /metrics and the schemas", text(func(c *Config) *string { return &c.AdminListen })},
		{"admin_token", "MEWSBRIDGE_ADMIN_TOKEN", "", "token that the admin listener asks for, as a bearer token, for all but /livez and /readyz", setAdminToken},
		{"admin_insecure", "MEWSBRIDGE_ADMIN_INSECURE", "false", "let admin_listen be beyond loopback without admin_token", flag(func(c *Config) *bool { return &c.AdminInsecure })},
		{"admin_pprof", "MEWSBRIDGE_ADMIN_PPROF", "false", "serve the profiles of the process at /debug/pprof/ on the admin listener", flag(func(c *Config) *bool { return &c.AdminPprof })},
		{"path", "MEWSBRIDGE_PATH", "/webhooks/mews", "path of the webhook URL", endpoint(func(e *endpointConfig) *string { return &e.Path })},
		{"tokens", "MEWSBRIDGE_TOKENS", "", "tokens that Mews may send, comma separated, each alone or as name:token; none: one is made and kept in the data dir", setTokens},
		{"tokens_file", "MEWSBRIDGE_TOKENS_FILE", "", "file with such tokens, one a line; # begins a comment", endpoint(func(e *endpointConfig) *string { return &e.TokensFile })},
		{"allow", "MEWSBRIDGE_ALLOW", "", "networks that may send webhooks, comma separated, for example 192.0.2.0/24; none: all", networks(func(c *Config) *[]netip.Prefix { return &c.Endpoints[0].Allow })},
		{"failover_url", "MEWSBRIDGE_FAILOVER_URL", "", "webhook URL of a standby bridge with the same tokens, to which webhooks are answered 307 while NATS cannot be reached; none: they are answered 503", setFailover},
		{"trusted_proxies", "MEWSBRIDGE_TRUSTED_PROXIES", "", "networks of the proxies whose X-Forwarded-For is believed for allow; none: the sender is who connects", networks(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies })},
		{"data_dir", "MEWSBRIDGE_DATA_DIR", "data", "folder of the embedded server's streams and of the token", text(func(c *Config) *string { return &c.DataDir })},
		{"log_level", "MEWSBRIDGE_LOG_LEVEL", "info", "debug, info, warn or error", setLogLevel},

		{"tls.cert", "MEWSBRIDGE_TLS_CERT", "", "PEM file with the certificate for webhooks, and the chain after it; read again when it changes", text(func(c *Config) *string { return &c.TLSCert })},
		{"tls.key", "MEWSBRIDGE_TLS_KEY", "", "PEM file with its key", text(func(c *Config) *string { return &c.TLSKey })},
		{"tls.acme.hosts", "MEWSBRIDGE_TLS_ACME_HOSTS", "", "host names to have certificates issued for by ACME, comma separated; accepts the authority's terms of service", list(func(c *Config) *[]string { return &c.ACMEHosts })},
		{"tls.acme.email", "MEWSBRIDGE_TLS_ACME_EMAIL", "", "where the authority can reach you", text(func(c *Config) *string { return &c.ACMEEmail })},
		{"tls.acme.cache_dir", "MEWSBRIDGE_TLS_ACME_CACHE_DIR", "", "folder of the certificates and the account; none: acme in the data dir", text(func(c *Config) *string { return &c.ACMECacheDir })},
		{"tls.acme.directory", "MEWSBRIDGE_TLS_ACME_DIRECTORY", autocert.DefaultACMEDirectory, "URL of the authority's directory", text(func(c *Config) *string { return &c.ACMEDirectory })},

		{"nats.url", "NATS_URL", "", "servers of a NATS cluster, comma separated; none: the embedded server", list(func(c *Config) *[]string { return &c.NATSURL })},
		{"nats.listen", "MEWSBRIDGE_NATS_LISTEN", "127.0.0.1:4222", "address of the embedded server", text(func(c *Config) *string { return &c.NATSListen })},
		{"nats.embedded.leaf.url", "MEWSBRIDGE_NATS_LEAF_URL", "", "leaf node addresses of a hub that fetches what the embedded server stores, comma separated", list(func(c *Config) *[]string { return &c.Leaf.URL })},
		{"nats.embedded.leaf.creds", "MEWSBRIDGE_NATS_LEAF_CREDS", "", "credentials file for the hub", text(func(c *Config) *string { return &c.Leaf.Creds })},
		{"nats.embedded.leaf.ca", "MEWSBRIDGE_NATS_LEAF_CA", "", "PEM file with the hub's certificate authority", text(func(c *Config) *string { return &c.Leaf.CA })},
		{"nats.embedded.leaf.domain", "MEWSBRIDGE_NATS_LEAF_DOMAIN", "edge", "JetStream domain of the embedded server; another for each bridge of a hub", text(func(c *Config) *string { return &c.Leaf.Domain })},
		{"nats.embedded.leaf.hub_domain", "MEWSBRIDGE_NATS_LEAF_HUB_DOMAIN", "hub", "JetStream domain of the hub", text(func(c *Config) *string { return &c.Leaf.HubDomain })},
		{"nats.embedded.leaf.hub_replicas", "MEWSBRIDGE_NATS_LEAF_HUB_REPLICAS", "1", "replicas of each stream that the bridge creates at the hub", number(func(c *Config) *int { return &c.Leaf.HubReplicas })},
		{"nats.creds", "NATS_CREDS", "", "credentials file", text(func(c *Config) *string { return &c.NATSCreds })},
		{"nats.nkey_seed_file", "MEWSBRIDGE_NATS_NKEY_SEED_FILE", "", "file with an nkey seed", text(func(c *Config) *string { return &c.NATSNKeySeedFile })},
		{"nats.user", "MEWSBRIDGE_NATS_USER", "", "user name", text(func(c *Config) *string { return &c.NATSUser })},
		{"nats.password", "MEWSBRIDGE_NATS_PASSWORD", "", "password of the user", hidden(func(c *Config) *secret { return &c.NATSPassword })},
		{"nats.token", "MEWSBRIDGE_NATS_TOKEN", "", "token; an embedded server asks it of every client", hidden(func(c *Config) *secret { return &c.NATSToken })},
		{"nats.inbox_prefix", "MEWSBRIDGE_NATS_INBOX_PREFIX", "", "what the subjects of answers begin with, for a NATS user that has inboxes of its own; none: _INBOX", text(func(c *Config) *string { return &c.NATSInboxPrefix })},
		{"nats.tls.ca", "MEWSBRIDGE_NATS_TLS_CA", "", "PEM file with the certificate authority", text(func(c *Config) *string { return &c.NATSTLSCA })},
		{"nats.tls.cert", "MEWSBRIDGE_NATS_TLS_CERT", "", "PEM file with the client certificate", text(func(c *Config) *string { return &c.NATSTLSCert })},
		{"nats.tls.key", "MEWSBRIDGE_NATS_TLS_KEY", "", "PEM file with its key", text(func(c *Config) *string { return &c.NATSTLSKey })},

		{"prefix", "MEWSBRIDGE_PREFIX", "mews", "first token of the subjects; upper case: of the streams' names", endpoint(func(e *endpointConfig) *string { return &e.Prefix })},
		{"replicas", "MEWSBRIDGE_REPLICAS", "1", "replicas of each stream", number(func(c *Config) *int { return &c.Replicas })},
		{"streams.manage", "MEWSBRIDGE_STREAMS_MANAGE", "true", "create the streams and bring them up to date; false: only check them", flag(func(c *Config) *bool { return &c.Manage })},
		{"streams.latest", "MEWSBRIDGE_STREAMS_LATEST", "false", "look after a stream of the newest event of each type and entity too", flag(func(c *Config) *bool { return &c.Latest })},
		{"max_age", "MEWSBRIDGE_MAX_AGE", "720h", "how long the streams keep a message; 0s: for ever", span(func(c *Config) *time.Duration { return &c.MaxAge })},
		{"duplicate_window", "MEWSBRIDGE_DUPLICATE_WINDOW", "1h", "how long the streams remember message ids", span(func(c *Config) *time.Duration { return &c.DuplicateWindow })},
		{"retry_window", "MEWSBRIDGE_RETRY_WINDOW", "30m", "how long a webhook that was not answered 2xx is expected again", span(func(c *Config) *time.Duration { return &c.RetryWindow })},
		{"retry_spacing", "MEWSBRIDGE_RETRY_SPACING", "3m", "how long Mews is taken to wait between its three attempts; what is at risk of loss is told by it", span(func(c *Config) *time.Duration { return &c.RetrySpacing })},
		{"ledger.shared", "MEWSBRIDGE_LEDGER_SHARED", "false", "share what waits for its retry with the other bridges on the same NATS, in the key-value bucket <PREFIX>_LEDGER", flag(func(c *Config) *bool { return &c.SharedLedger })},
		{"ack_deadline", "MEWSBRIDGE_ACK_DEADLINE", "4s", "time from a webhook's arrival to its last acknowledgement; less than 5s", span(func(c *Config) *time.Duration { return &c.AckDeadline })},
		{"max_body", "MEWSBRIDGE_MAX_BODY", "", "largest webhook, for example 4MiB; none: 4MiB embedded, else what the server's max_payload leaves", setMaxBody},
		{"seal_to", "MEWSBRIDGE_SEAL_TO", "", "public curve key (X…) to which credentials and the quarantine are sealed; none: they are stored in the clear", setSealTo},

		{"http.max_connections", "MEWSBRIDGE_HTTP_MAX_CONNECTIONS", "10000", "connections for webhooks at a time; beyond them a new one takes the place of the one idle longest", number(func(c *Config) *int { return &c.MaxConnections })},
		{"http.max_header_bytes", "MEWSBRIDGE_HTTP_MAX_HEADER_BYTES", "16384", "size of a request's headers", number(func(c *Config) *int { return &c.MaxHeaderBytes })},
		{"http.header_timeout", "MEWSBRIDGE_HTTP_HEADER_TIMEOUT", "5s", "time to send a request's headers", span(func(c *Config) *time.Duration { return &c.HeaderTimeout })},
		{"http.idle_timeout", "MEWSBRIDGE_HTTP_IDLE_TIMEOUT", "2m", "how long an idle connection is kept", span(func(c *Config) *time.Duration { return &c.IdleTimeout })},
	}
}

// setTokens takes in tokens, and never repeats one in an error.
func setTokens(c *Config, text string) error {
	tokens, err := parseTokens(splitList([]string{text}))
	c.Endpoints[0].Tokens = tokens
	return err
}

func setLogLevel(c *Config, text string) error {
	level, err := zapcore.ParseLevel(text)
	if err != nil || level > zapcore.ErrorLevel {
		return errors.New("not debug, info, warn or error")
	}
	c.LogLevel = level
	return nil
}

func parseBool(to *bool, text string) error {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("not true or false")
	}
	*to = v
	return nil
}

func setMaxBody(c *Config, text string) error {
	if text == "" {
		c.MaxBody = 0
		return nil
	}
	size, err := parseSize(text)
	c.MaxBody = size
	return err
}

func parseSpan(to *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New(`not a duration such as "4s", "30m" or "720h"`)
	}
	if d < 0 {
		return errors.New("negative")
	}
	*to = d
	return nil
}

func parseNumber(to *int, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("not a whole number of 1 or more")
	}
	*to = n
	return nil
}

// parseNetworks reads a list of networks; an address alone is a network of one.
func parseNetworks(to *[]netip.Prefix, text string) error {
	var networks []netip.Prefix
	for _, one := range splitList([]string{text}) {
		network, err := netip.ParsePrefix(one)
		if address, addressErr := netip.ParseAddr(one); addressErr == nil {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil || network.Addr().Is4In6() {
			return fmt.Errorf("%q is not a network such as 192.0.2.0/24 or 2001:db8::/32", one)
		}
		networks = append(networks, network.Masked())
	}
	*to = networks
	return nil
}

// parseSize reads a number of bytes: "1048576", "1MiB", "1MB".
func parseSize(text string) (int64, error) {
	bad := errors.New(`not a size such as "4MiB"`)
	digits := strings.TrimRight(text, "kKMGiB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 {
		return 0, bad
	}
	factor, known := map[string]int64{
		"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
	}[strings.TrimSpace(text[len(digits):])]
	if !known || n > math.MaxInt32/factor {
		return 0, bad
	}
	return n * factor, nil
}
