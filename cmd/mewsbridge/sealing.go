package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"mewsbridge/bridge"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// setSealTo takes in a public key, and never repeats what was given: it may be a private one.
func setSealTo(c *Config, text string) error {
	c.Sealer = nil
	if text == "" {
		return nil
	}
	var err error
	c.Sealer, err = seal.NewSealer(text)
	return err
}

// sealingPublisher seals what may hold credentials before it is stored.
type sealingPublisher struct {
	sealer *seal.Sealer
	next   bridge.Publisher
}

// Publish fails with schema.ErrRefused when a message cannot be sealed: it is not stored in the clear instead.
func (p sealingPublisher) Publish(ctx context.Context, msgs []schema.Message) error {
	sealed, err := p.sealer.Messages(msgs)
	if err != nil {
		return fmt.Errorf("%w: %w", schema.ErrRefused, err)
	}
	return p.next.Publish(ctx, sealed)
}

// Admit asks the publisher behind it.
func (p sealingPublisher) Admit(ctx context.Context) error { return p.next.Admit(ctx) }

// sealing returns next, behind a sealer when there is one.
func (c *Config) sealing(next bridge.Publisher) bridge.Publisher {
	if c.Sealer == nil {
		return next
	}
	return sealingPublisher{c.Sealer, next}
}

// greetSealing says whether credentials are stored in the clear.
func (a *app) greetSealing() {
	if a.cfg.Sealer == nil {
		a.log.Info("AccessToken, ApiKey and Requestor are stored in the clear: set seal_to to seal them")
		return
	}
	a.log.Info("AccessToken, ApiKey, Requestor and the quarantine are stored sealed", zap.String("key", a.cfg.Sealer.Key()))
}

// stored returns how large the messages of n bytes can be as they are stored.
func (c *Config) stored(n int64) int64 {
	if c.Sealer == nil {
		return n
	}
	return seal.MaxSize(n)
}

// unsealed returns how large messages may be that are to be stored in n bytes.
func (c *Config) unsealed(n int64) int64 {
	if c.Sealer == nil {
		return n
	}
	return seal.MaxPlain(n)
}
