// Command mewsbridge takes the webhooks of the Mews hotel system and stores their events in NATS JetStream. It answers
// 202 only for what is stored.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	env := &environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Hangups: hangups}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal stops in order; from then on a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, env, os.Args[1:]))
}

// environment is what a command may use of the world around it.
type environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Hangups        func() (received <-chan os.Signal, stop func()) // nil: there are none
}

// hangups has SIGHUP come on a channel, rather than end the process, until stop.
func hangups() (received <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

func (e *environment) hangups() (received <-chan os.Signal, stop func()) {
	if e.Hangups == nil {
		return nil, func() {}
	}
	return e.Hangups()
}

// run executes one command and returns its exit code.
func run(ctx context.Context, env *environment, args []string) int {
	root := newRootCommand(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		fmt.Fprintf(env.Stderr, "mewsbridge: %v\n", err)
		return e.code
	}
	// Cobra's own errors: an unknown command or flag, or arguments that are not wanted.
	fmt.Fprintf(env.Stderr, "mewsbridge: %v; `%s --help` shows what there is\n", err, cmd.CommandPath())
	return exitUsage
}

// noArgs lets no argument pass. The error does not repeat it: it may be a secret whose flag was forgotten.
func noArgs(cmd *cobra.Command, args []string) error {
	if cmd.HasSubCommands() {
		return cobra.NoArgs(cmd, args)
	}
	if len(args) > 0 {
		if slices.Contains([]string{"true", "false"}, args[0]) {
			return fmt.Errorf("%s takes flags and no arguments: true or false is joined to its flag with =", cmd.Name())
		}
		return fmt.Errorf("%s takes flags and no arguments", cmd.Name())
	}
	return nil
}

func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "mewsbridge",
		Short: "Store the webhooks of Mews in NATS JetStream",
		Long: `mewsbridge takes the webhooks of the Mews hotel system, splits them into single events, and stores
these durably in NATS JetStream. It answers 202 only for what is stored.

Start it with "mewsbridge serve"; nothing else needs to be installed.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	setHelp(root, widthOfHelp(env.Stdout))
	root.AddCommand(
		newServeCommand(env), newCheckCommand(env), newSendCommand(env), newTailCommand(env), newQuarantineCommand(env),
		newReplayCommand(env), newConsumersCommand(env), newStatusCommand(env), newSchemaCommand(env),
		newTokenCommand(env), newUnsealCommand(env), newSealKeyCommand(env), newHealthCommand(env), newVersionCommand(env),
	)
	root.AddCommand(newRehearseCommand(env), newNATSServerCommand(env))
	return root
}
