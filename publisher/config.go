package publisher

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of the settings that may be left at zero.
const (
	DefaultQueueEvents = 100_000
	DefaultQueueBytes  = 128 << 20
	DefaultName        = "mewsbridge"
)

// Config says which NATS to publish to, as whom, and what the streams look like.
type Config struct {
	// URLs are the servers of one cluster. Ignored when InProcess is set.
	URLs []string
	// InProcess connects to an embedded server without a socket.
	InProcess nats.InProcessConnProvider
	// Name is the connection's name as the server's monitoring shows it.
	Name string

	// At most one of CredsFile, NKeySeedFile, Username and Token is set.
	CredsFile    string
	NKeySeedFile string
	Username     string
	Password     string
	Token        string

	// TLSCA, TLSCert and TLSKey are PEM files. TLSCert and TLSKey go together.
	TLSCA   string
	TLSCert string
	TLSKey  string

	// InboxPrefix begins the subjects of answers; empty means _INBOX or, with a Hub, _INBOX_edge.
	InboxPrefix string

	// Prefix is the first token of every subject and, in upper case, of every stream's name.
	Prefix string
	// Replicas is the number of replicas of each stream, 1 to 5.
	Replicas int
	// Manage lets the publisher create the streams and bring them up to date. Without it they are only checked.
	Manage bool
	// Latest has the publisher look after one more stream in the same way: the newest event of each type and entity.
	Latest bool
	// SharedLedger has Inspect look at what Ledger needs; a Publisher does not heed it.
	SharedLedger bool
	// MaxAge is how long a stream keeps a message; 0 is for ever.
	MaxAge time.Duration
	// DuplicateWindow is how long a stream remembers message ids.
	DuplicateWindow time.Duration

	// Hub is the JetStream domain that fetches what is stored; nil means none.
	Hub *Hub

	// QueueEvents and QueueBytes bound what waits for JetStream in each stream's queue; beyond them Publish
	// answers schema.ErrOverloaded at once. Zero means the defaults.
	QueueEvents int
	QueueBytes  int64

	pace pace // zero means defaultPace

	// Metrics is where the publisher registers its metrics; nil means nowhere. Publishers of different prefixes may share one.
	Metrics prometheus.Registerer
	// StorageLimit returns how many bytes the server may store, for an account that has no limit of its own; nil means not known.
	StorageLimit func() int64
}

func (c Config) withDefaults() Config {
	if c.QueueEvents == 0 {
		c.QueueEvents = DefaultQueueEvents
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = DefaultQueueBytes
	}
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.InboxPrefix == "" && c.Hub != nil {
		c.InboxPrefix = hubInbox
	}
	if c.pace == (pace{}) {
		c.pace = defaultPace()
	}
	return c
}

// validate reports everything that is wrong, joined. It repeats no credential.
func (c Config) validate() error {
	var errs []error
	if c.InProcess == nil && len(c.URLs) == 0 {
		errs = append(errs, errors.New("nats url: none given"))
	}
	if c.Prefix == "" {
		errs = append(errs, errors.New("prefix: empty"))
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("replicas: %d is not 1 to 5", c.Replicas))
	}
	if c.DuplicateWindow <= 0 {
		errs = append(errs, errors.New("duplicate window: must be more than 0"))
	}
	if h := c.Hub; h != nil && (h.Domain == "" || h.EdgeDomain == "" || h.Domain == h.EdgeDomain || h.Replicas < 1 || h.Replicas > 5) {
		errs = append(errs, errors.New("hub: two domains that differ and 1 to 5 replicas are needed"))
	}
	if c.MaxAge < 0 || c.MaxAge > 0 && c.DuplicateWindow > c.MaxAge {
		errs = append(errs, errors.New("max age: must be 0 or at least the duplicate window"))
	}
	if c.QueueEvents < 0 || c.QueueBytes < 0 {
		errs = append(errs, errors.New("queue limits: must not be negative"))
	}
	if n := count(c.CredsFile != "", c.NKeySeedFile != "", c.Username != "", c.Token != ""); n > 1 {
		errs = append(errs, errors.New("credentials: more than one kind given"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("tls: certificate and key go together"))
	}
	return errors.Join(errs...)
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// inbox returns a fresh subject for answers.
func (c Config) inbox() string {
	inbox := nats.NewInbox()
	if c.InboxPrefix == "" {
		return inbox
	}
	return c.InboxPrefix + strings.TrimPrefix(inbox, strings.TrimSuffix(nats.InboxPrefix, "."))
}

// ConnectOptions returns the options of a connection that say who connects, what TLS it uses and where it takes answers, so that every client of
// the bridge's NATS connects alike. An error names the file that cannot be read, and repeats no credential.
func (c Config) ConnectOptions() ([]nats.Option, error) {
	options, err := c.credentials()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		options = append(options, nats.Secure(tlsConfig))
	}
	if c.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return options, nil
}

// credentials returns the connection options that say who the publisher is. Files are read here once, so
// that a missing one is an error at start; nats.go reads a creds file again at each reconnect.
func (c Config) credentials() ([]nats.Option, error) {
	switch {
	case c.CredsFile != "":
		if _, err := os.Stat(c.CredsFile); err != nil {
			return nil, fmt.Errorf("read creds file: %w", err)
		}
		return []nats.Option{nats.UserCredentials(c.CredsFile)}, nil
	case c.NKeySeedFile != "":
		option, err := nats.NkeyOptionFromSeed(c.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("read nkey seed file: %w", err)
		}
		return []nats.Option{option}, nil
	case c.Username != "":
		return []nats.Option{nats.UserInfo(c.Username, c.Password)}, nil
	case c.Token != "":
		return []nats.Option{nats.Token(c.Token)}, nil
	}
	return nil, nil
}

// tlsConfig returns nil when no TLS file is set; a tls:// URL then still uses the system's roots.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.TLSCA == "" && c.TLSCert == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("read tls ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("read tls ca: no PEM certificate in it")
		}
	}
	if c.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read tls certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
