package main

import (
	"math"
	"path/filepath"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
	"mewsbridge/schema"
)

// embeddedConfig returns the configuration of the embedded server.
func (c *Config) embeddedConfig() embedded.Config {
	maxPayload := min(c.stored(max(c.MaxBody, embeddedMaxBody)+schema.MaxMessageOverhead), math.MaxInt32)
	return embedded.Config{
		StoreDir: filepath.Join(c.DataDir, "nats"), Listen: c.NATSListen, MaxPayload: int32(maxPayload),
		Username: c.NATSUser, Password: string(c.NATSPassword), Token: string(c.NATSToken), Leaf: c.leaf(),
	}
}

// publisherConfig returns the configuration of the publisher for a prefix, without what only a running bridge has.
func (c *Config) publisherConfig(prefix string) publisher.Config {
	return publisher.Config{
		URLs: c.NATSURL, CredsFile: c.NATSCreds, NKeySeedFile: c.NATSNKeySeedFile,
		Username: c.NATSUser, Password: string(c.NATSPassword), Token: string(c.NATSToken),
		TLSCA: c.NATSTLSCA, TLSCert: c.NATSTLSCert, TLSKey: c.NATSTLSKey, InboxPrefix: c.NATSInboxPrefix,
		Prefix: prefix, Replicas: c.Replicas, Manage: c.Manage, Latest: c.Latest,
		MaxAge: c.MaxAge, DuplicateWindow: c.DuplicateWindow,
	}
}

// bodyLimit returns the largest body whose messages a server with that max_payload takes.
func (c *Config) bodyLimit(payload int64) int64 {
	return max(c.unsealed(payload)-schema.MaxMessageOverhead, 0)
}
