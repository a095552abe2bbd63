package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// How the bucket is looked after.
const (
	ledgerTimeout = 2 * time.Second
	ledgerAgain   = time.Second // after an error
	ledgerLook    = time.Minute // whether the bucket that is watched is still there
	ledgerTick    = time.Second // whether the connection is still the one on which the watch began
)

// Ledger is a JetStream key-value bucket whose keys are written once and end by themselves. Its methods may be called
// concurrently.
type Ledger struct {
	p   *Publisher
	ttl time.Duration

	bucket  atomic.Pointer[jetstream.KeyValue] // nil until it was found
	looking chan struct{}                      // capacity 1: full while somebody looks for it
}

// ledgerBucket returns the name of the bucket, for example MEWS_LEDGER.
func ledgerBucket(prefix string) string { return strings.ToUpper(prefix) + "_LEDGER" }

// ledgerStream returns the name of the stream that holds the bucket.
func ledgerStream(prefix string) string { return "KV_" + ledgerBucket(prefix) }

// Ledger returns the bucket <PREFIX>_LEDGER, whose keys live for ttl. It is made when first needed, if the publisher manages its
// streams.
func (p *Publisher) Ledger(ttl time.Duration) *Ledger {
	return &Ledger{p: p, ttl: ttl, looking: make(chan struct{}, 1)}
}

// open returns the bucket. An error wraps schema.ErrUnavailable.
func (l *Ledger) open(ctx context.Context) (jetstream.KeyValue, error) {
	if !l.p.connected.Load() {
		return nil, l.p.unreachable()
	}
	name := ledgerBucket(l.p.cfg.Prefix)
	if bucket := l.bucket.Load(); bucket != nil {
		return *bucket, nil
	}
	select {
	case l.looking <- struct{}{}:
		defer func() { <-l.looking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: open bucket %s: %w", schema.ErrUnavailable, name, ctx.Err())
	}
	if bucket := l.bucket.Load(); bucket != nil {
		return *bucket, nil
	}
	bucket, err := l.find(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%w: open bucket %s: %w", schema.ErrUnavailable, name, err)
	}
	l.bucket.Store(&bucket)
	return bucket, nil
}

func (l *Ledger) find(ctx context.Context, name string) (jetstream.KeyValue, error) {
	if !l.p.cfg.Manage {
		return l.p.js.KeyValue(ctx, name)
	}
	return l.p.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: name, Description: "deliveries that wait for their retry, shared by the bridges", History: 1,
		TTL: l.ttl, Storage: jetstream.FileStorage, Replicas: l.p.cfg.Replicas,
	})
}

func (l *Ledger) forget() { l.bucket.Store(nil) }

// Create writes value under key and returns true, or false when the key is there already. After an error the key may be there or not; an
// error that wraps schema.ErrUnavailable says that nothing was sent. It returns when ctx ends at the latest.
func (l *Ledger) Create(ctx context.Context, key string, value []byte) (created bool, err error) {
	bucket, err := l.open(ctx)
	if err != nil {
		return false, err
	}
	_, err = bucket.Create(ctx, key, value)
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		return false, nil
	case err != nil:
		l.forget() // it may have been deleted
		return false, fmt.Errorf("write to bucket %s: %w", bucket.Bucket(), err)
	}
	return true, nil
}

// Watch calls see with every key and its value, those that are there first and in their order, until ctx ends. It goes on after NATS was
// away and after the bucket was deleted; a key may come twice.
func (l *Ledger) Watch(ctx context.Context, see func(key string, value []byte)) {
	said := false
	for ctx.Err() == nil {
		err := l.watch(ctx, see)
		switch {
		case err == nil:
			said = false
		case !said && l.p.connected.Load() && ctx.Err() == nil: // that NATS is away is said elsewhere
			l.p.log.Warn("the shared ledger cannot be read: retries that reach another bridge are stored twice", zap.Error(err))
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(ledgerAgain):
		}
	}
}

// watch reads until the bucket is gone or ctx ends.
func (l *Ledger) watch(ctx context.Context, see func(key string, value []byte)) error {
	connection := l.p.conn.Stats().Reconnects
	opening, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	bucket, err := l.open(opening)
	if err != nil {
		return err
	}
	watcher, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		l.forget()
		return fmt.Errorf("watch bucket %s: %w", bucket.Bucket(), err)
	}
	defer func() { _ = watcher.Stop() }() // the connection may be gone
	look, tick := time.NewTicker(ledgerLook), time.NewTicker(ledgerTick)
	defer look.Stop()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watcher.Updates():
			if !open {
				return errors.New("the watch has ended")
			}
			if entry != nil { // nil says that what was there has been read
				see(entry.Key(), entry.Value())
			}
		case <-tick.C:
			if l.p.conn.Stats().Reconnects != connection {
				return nil // a server that was started again knows nothing of the watch: begin anew rather than wait for it
			}
		case <-look.C:
			if err := l.look(ctx, bucket); err != nil {
				return err
			}
		}
	}
}

// look returns an error when the bucket is known to be gone.
func (l *Ledger) look(ctx context.Context, bucket jetstream.KeyValue) error {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	if _, err := bucket.Status(ctx); errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		l.forget()
		return fmt.Errorf("look at bucket %s: %w", bucket.Bucket(), err)
	}
	return nil
}
