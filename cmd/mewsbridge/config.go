package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"mewsbridge/schema/seal"
)

// secret is a string that cannot be printed.
type secret string

func (secret) String() string               { return "[secret]" }
func (secret) GoString() string             { return "[secret]" }
func (secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Config is the whole configuration of serve.
type Config struct {
	Listen, AdminListen string
	Endpoints           []endpointConfig
	TrustedProxies      []netip.Prefix
	DataDir             string
	LogLevel            zapcore.Level

	TLSCert, TLSKey                        string // of the webhook listener
	ACMEHosts                              []string
	ACMEEmail, ACMECacheDir, ACMEDirectory string

	AdminToken                secret
	AdminInsecure, AdminPprof bool

	NATSURL                            []string
	NATSListen                         string
	NATSCreds, NATSNKeySeedFile        string
	NATSUser                           string
	NATSPassword, NATSToken            secret
	NATSTLSCA, NATSTLSCert, NATSTLSKey string
	NATSInboxPrefix                    string
	Leaf                               leafConfig

	Replicas                             int
	Manage, Latest, SharedLedger         bool
	MaxAge, DuplicateWindow, RetryWindow time.Duration
	RetrySpacing                         time.Duration
	AckDeadline                          time.Duration
	MaxBody                              int64        // 0: what the server takes
	Sealer                               *seal.Sealer // nil: credentials are stored in the clear

	MaxConnections, MaxHeaderBytes int
	HeaderTimeout, IdleTimeout     time.Duration
}

// Embedded reports whether the NATS server runs inside the process.
func (c *Config) Embedded() bool { return len(c.NATSURL) == 0 }

// sources is where the text of a setting may come from, in order of precedence.
type sources struct {
	flags  map[string]string // by flag; only those that were given
	getenv func(string) string
	file   configFile
}

// resolve makes a Config of the sources and the defaults. The error holds every problem, each with the name of its setting.
func resolve(from sources) (*Config, error) {
	c := &Config{Endpoints: []endpointConfig{{Name: defaultEndpoint}}}
	var errs []error
	for _, s := range settings() {
		text, origin := s.text(from)
		if err := s.set(c, text); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", s.key, origin, err))
			// The others are held against its default, so that all problems come at once.
			if err := s.set(c, s.initial); err != nil {
				errs = append(errs, fmt.Errorf("%s (default): %w", s.key, err))
			}
		}
	}
	errs = append(errs, from.file.problems...)
	errs = append(errs, c.resolveEndpoints(from), c.validate(), c.checkFiles())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// fromDefault is the origin of a setting that is not set.
const fromDefault = "default"

// text returns the setting's text and where it comes from.
func (s setting) text(from sources) (text, origin string) {
	if v, given := from.flags[s.flag()]; given {
		return v, "--" + s.flag()
	}
	if v := from.getenv(s.env); v != "" {
		return v, s.env
	}
	if v, given := from.file.values[s.key]; given {
		return v.text, fmt.Sprintf("%s line %d", from.file.name, v.line)
	}
	return s.initial, fromDefault
}

// mewsTimeout is how long Mews waits for an answer (Mews, Webhooks FAQ).
const mewsTimeout = 5 * time.Second

var prefixPattern = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// validate holds the settings against each other.
func (c *Config) validate() error {
	var errs []error
	need := func(holds bool, format string, args ...any) {
		if !holds {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(isAddress(c.Listen), "listen: %q is not host:port", c.Listen)
	need(isAddress(c.AdminListen), "admin_listen: %q is not host:port", c.AdminListen)
	need(c.Listen != c.AdminListen || strings.HasSuffix(c.Listen, ":0"), "admin_listen: the same as listen")
	c.validateEndpoints(need)
	c.validateTLS(need)
	c.validateAdmin(need)
	need(c.DataDir != "", "data_dir: empty")
	need(c.AckDeadline > 0 && c.AckDeadline < mewsTimeout, "ack_deadline: %v must be more than 0 and less than 5s, when Mews stops waiting", c.AckDeadline)
	need(c.RetryWindow > 0, "retry_window: must be more than 0")
	need(c.RetrySpacing > 0, "retry_spacing: must be more than 0")
	need(2*c.RetrySpacing <= c.RetryWindow, "retry_spacing: two pauses of %v are longer than retry_window, %v: a second retry would not be recognised", c.RetrySpacing, c.RetryWindow)
	need(c.RetryWindow <= c.DuplicateWindow, "retry_window: %v is longer than duplicate_window, %v: a late retry would be stored twice", c.RetryWindow, c.DuplicateWindow)
	need(c.MaxAge == 0 || c.DuplicateWindow <= c.MaxAge, "duplicate_window: %v is longer than max_age, %v", c.DuplicateWindow, c.MaxAge)
	need(c.HeaderTimeout > 0 && c.IdleTimeout > 0, "http.header_timeout and http.idle_timeout: must be more than 0")
	need(c.Replicas <= 5, "replicas: %d is more than 5", c.Replicas)
	c.validateNATS(need)
	return errors.Join(errs...)
}

// checkFiles reads the files that are named, but for those that validate has judged.
func (c *Config) checkFiles() error {
	var errs []error
	if c.TLSCert != "" && c.TLSKey != "" {
		_, err := readCertificate(c.TLSCert, c.TLSKey)
		errs = append(errs, err)
	}
	if !c.Embedded() {
		if _, err := c.publisherConfig("").ConnectOptions(); err != nil {
			errs = append(errs, fmt.Errorf("nats: %w", err))
		}
	}
	if e := c.Endpoints[0]; !e.listed && len(e.Tokens) == 0 && e.TokensFile == "" {
		if _, err := readOwnToken(c.DataDir); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateNATS(need func(bool, string, ...any)) {
	if c.Embedded() {
		need(c.Replicas == 1, "replicas: %d needs a NATS cluster: set nats.url", c.Replicas)
		host, _, err := net.SplitHostPort(c.NATSListen)
		need(isAddress(c.NATSListen), "nats.listen: %q is not host:port", c.NATSListen)
		need(err != nil || isLoopback(host) || c.NATSToken != "" || c.NATSUser != "",
			"nats.listen: %q can be reached from other machines: set a NATS token (nats.token) or nats.user and nats.password, or listen on 127.0.0.1", c.NATSListen)
		need(c.NATSCreds == "" && c.NATSNKeySeedFile == "", "nats.creds, nats.nkey_seed_file: only with nats.url")
		need(c.NATSTLSCA == "" && c.NATSTLSCert == "" && c.NATSTLSKey == "", "nats.tls: only with nats.url")
	}
	c.validateLeaf(need)
	need(c.NATSInboxPrefix == "" || inboxPattern.MatchString(c.NATSInboxPrefix), "nats.inbox_prefix: %q is not a subject such as _INBOX_consumer", c.NATSInboxPrefix)
	for i, text := range c.NATSURL {
		u, err := url.Parse(text)
		// The URL may hold a password: do not repeat it.
		need(err == nil && u.Host != "" && isScheme(u.Scheme), "nats.url: number %d is not a URL such as nats://host:4222", i+1)
	}
	kinds := 0
	for _, given := range []bool{c.NATSCreds != "", c.NATSNKeySeedFile != "", c.NATSUser != "", c.NATSToken != ""} {
		if given {
			kinds++
		}
	}
	need(kinds <= 1, "nats.creds, nats.nkey_seed_file, nats.user, nats.token: set one of them")
	need((c.NATSUser == "") == (c.NATSPassword == ""), "nats.user and nats.password: set both")
	need((c.NATSTLSCert == "") == (c.NATSTLSKey == ""), "nats.tls.cert and nats.tls.key: set both")
}

var inboxPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})*$`)

func isScheme(s string) bool { return s == "nats" || s == "tls" || s == "ws" || s == "wss" }

// isLoopback reports whether only this machine reaches a listener on host. An empty host means every address.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}
