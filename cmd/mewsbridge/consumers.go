package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// consumersOptions are the flags of consumers.
type consumersOptions struct {
	nats natsFlags
	json bool
}

func newConsumersCommand(env *environment) *cobra.Command {
	o := &consumersOptions{}
	cmd := &cobra.Command{
		Use:   "consumers",
		Short: "List who reads the streams, and how far behind",
		Long: `List the consumers of the bridge's streams: how many messages wait for each (PENDING), how many were
delivered to it and are not acknowledged (ACK PENDING), how many of these were delivered more than
once (REDELIVERED), and how long ago the last one was delivered. One that is not durable is in parentheses: it is gone
soon after its reader.`,
		Example: `  mewsbridge consumers
  mewsbridge consumers --json | jq 'select(.pending > 1000)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runConsumers(cmd.Context(), env, o) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object a line")
	o.nats.register(cmd, env)
	return cmd
}

// consumerState is what is shown of a consumer.
type consumerState struct {
	Stream        string     `json:"stream"`
	Name          string     `json:"name"`
	Durable       bool       `json:"durable"`
	Filters       []string   `json:"filters"` // empty: everything
	Pending       uint64     `json:"pending"`
	AckPending    int        `json:"ack_pending"`
	Redelivered   int        `json:"redelivered"`
	Waiting       int        `json:"waiting"` // requests for messages that are open
	Paused        bool       `json:"paused"`
	LastDelivered *time.Time `json:"last_delivered"` // null: never
}

func runConsumers(ctx context.Context, env *environment, o *consumersOptions) error {
	conn, js, err := o.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	var all []consumerState
	for _, kind := range schema.Kinds() {
		stream, err := o.nats.stream(ctx, js, kind)
		if err != nil {
			return err
		}
		of, err := consumersOf(ctx, stream)
		if err != nil {
			return err
		}
		all = append(all, of...)
	}
	of, err := latestConsumers(ctx, js, o.nats.prefix)
	if err != nil {
		return err
	}
	all = append(all, of...)
	if o.json {
		encoder := json.NewEncoder(env.Stdout)
		for _, c := range all {
			if err := encoder.Encode(c); err != nil {
				return withCode(exitInternal, fmt.Errorf("print: %w", err))
			}
		}
		return nil
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "No consumer reads these streams. README.md has one to begin with.")
		return withCode(exitInternal, err)
	}
	return withCode(exitInternal, printConsumers(env.Stdout, all, time.Now()))
}

// latestConsumers returns the consumers of the stream of the newest events, which is there on request only.
func latestConsumers(ctx context.Context, js jetstream.JetStream, prefix string) ([]consumerState, error) {
	name := schema.LatestStream(prefix)
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("look up stream %s: %w", name, err))
	}
	return consumersOf(ctx, stream)
}

// consumersOf returns the consumers of a stream, the one that is furthest behind first.
func consumersOf(ctx context.Context, stream jetstream.Stream) ([]consumerState, error) {
	var all []consumerState
	lister := stream.ListConsumers(ctx)
	for info := range lister.Info() {
		filters := info.Config.FilterSubjects
		if info.Config.FilterSubject != "" {
			filters = []string{info.Config.FilterSubject}
		}
		all = append(all, consumerState{
			Stream: info.Stream, Name: info.Name, Durable: info.Config.Durable != "", Filters: append([]string{}, filters...),
			Pending: info.NumPending, AckPending: info.NumAckPending, Redelivered: info.NumRedelivered, Waiting: info.NumWaiting,
			Paused: info.Paused, LastDelivered: info.Delivered.Last,
		})
	}
	if err := lister.Err(); err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("list consumers of %s: %w", stream.CachedInfo().Config.Name, err))
	}
	slices.SortFunc(all, func(a, b consumerState) int {
		return cmp.Or(cmp.Compare(b.Pending, a.Pending), cmp.Compare(b.AckPending, a.AckPending), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// printConsumers prints a table for each stream; the filters are in it where there is room.
func printConsumers(out io.Writer, all []consumerState, now time.Time) error {
	for i, stream := 0, ""; i < len(all); i++ {
		if all[i].Stream == stream {
			continue
		}
		if stream = all[i].Stream; i > 0 {
			fmt.Fprintln(out)
		}
		of := slices.DeleteFunc(slices.Clone(all), func(c consumerState) bool { return c.Stream != stream })
		if err := printConsumersOf(out, stream, of, now); err != nil {
			return err
		}
	}
	return nil
}

func printConsumersOf(out io.Writer, stream string, all []consumerState, now time.Time) error {
	columns, _ := terminalWidth(out)
	wide := columns == 0 || columns >= wideTerminal
	header := []string{"CONSUMERS OF " + stream, ">PENDING", ">ACK PENDING", ">REDELIVERED", ">DELIVERED"}
	if wide {
		header = append(header, "FILTER")
	}
	t := newTable(header...)
	for _, c := range all {
		name := c.Name
		if !c.Durable {
			name = "(" + name + ")"
		}
		if c.Paused {
			name += ", paused"
		}
		last := "never"
		if c.LastDelivered != nil {
			last = age(*c.LastDelivered, now) + " ago"
		}
		cells := []string{shortened(printable(name), 30), grouped(c.Pending), grouped(c.AckPending), grouped(c.Redelivered), last}
		if wide {
			cells = append(cells, cmp.Or(strings.Join(c.Filters, " "), "everything"))
		}
		t.add(cells...)
	}
	return t.write(out)
}
