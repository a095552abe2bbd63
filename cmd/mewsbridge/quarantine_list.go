package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// quarantineListOptions are the flags of quarantine list.
type quarantineListOptions struct {
	nats   natsFlags
	choice selection
	count  int
	json   bool
}

func newQuarantineListCommand(env *environment) *cobra.Command {
	o := &quarantineListOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is in quarantine",
		Long: `List what is in quarantine, oldest first: when it was received, at which endpoint, why it could
not be understood, the byte at which that was seen, and its size.`,
		Example: `  mewsbridge quarantine list
  mewsbridge quarantine list --reason not-json,unknown-kind --since 24h --count 0
  mewsbridge quarantine list --json | jq .id`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runQuarantineList(cmd.Context(), env, o) },
	}
	o.choice.register(cmd)
	cmd.Flags().IntVar(&o.count, "count", 50, "only the newest of them (0: all)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object a line")
	o.nats.register(cmd, env)
	return cmd
}

func runQuarantineList(ctx context.Context, env *environment, o *quarantineListOptions) error {
	if o.count < 0 {
		return withCode(exitUsage, errors.New("--count must not be negative"))
	}
	if err := o.choice.read(nil); err != nil {
		return withCode(exitUsage, err)
	}
	conn, _, stream, err := openQuarantine(ctx, &o.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	newest, total, err := o.newest(func(do func(held) error) error { return o.choice.each(ctx, stream, o.nats.prefix, false, do) })
	if err != nil {
		return err
	}
	if o.json {
		encoder := json.NewEncoder(env.Stdout)
		for _, h := range newest {
			if err := encoder.Encode(h); err != nil {
				return withCode(exitInternal, fmt.Errorf("print: %w", err))
			}
		}
	} else if err := printHeld(env, newest); err != nil {
		return withCode(exitInternal, err)
	}
	if total > len(newest) {
		fmt.Fprintf(env.Stderr, "The newest %d of %s; --count 0 shows all.\n", len(newest), grouped(total))
	}
	return nil
}

// newest returns the last --count of what read finds, and how many it found.
func (o *quarantineListOptions) newest(read func(func(held) error) error) (found []held, total int, err error) {
	err = read(func(h held) error {
		total++
		found = append(found, h)
		if o.count > 0 && len(found) >= 2*o.count { // now and then, so that all are moved about twice
			found = append(found[:0], found[len(found)-o.count:]...)
		}
		return nil
	})
	if o.count > 0 && len(found) > o.count {
		found = found[len(found)-o.count:]
	}
	return found, total, err
}

func printHeld(env *environment, all []held) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "Nothing is in quarantine that this asks for.")
		return err
	}
	columns, _ := terminalWidth(env.Stdout)
	wide := columns == 0 || columns >= wideTerminal
	header := []string{">SEQ", "RECEIVED (UTC)", "ENDPOINT", "REASON", ">OFFSET", ">SIZE"}
	if wide {
		header = append(header, "ID")
	}
	t := newTable(header...)
	for _, h := range all {
		cells := []string{
			strconv.FormatUint(h.Sequence, 10), clock(h.Received), shortened(printable(h.Endpoint), 12), shortened(printable(h.Reason), 21),
			strconv.FormatInt(h.Offset, 10), humanSize(h.Bytes),
		}
		if wide {
			cells = append(cells, printable(h.ID))
		}
		t.add(cells...)
	}
	return t.write(env.Stdout)
}
