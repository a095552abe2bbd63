package publisher

import "time"

// Hasten makes what the connection waits for short, so that a long outage fits into a test.
func Hasten(c *Config) {
	c.pace = pace{reconnectWait: 5 * time.Millisecond, connectTimeout: 50 * time.Millisecond, pingInterval: 50 * time.Millisecond}
}
