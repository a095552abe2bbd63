package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mewsbridge/publisher/embedded"
)

// newNATSServerCommand runs the nats-server that is linked in, so that rehearse needs nothing installed. It is hidden: for
// other uses there is nats-server itself.
func newNATSServerCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "nats-server", Hidden: true, Args: noArgs,
		Short: "Run the linked nats-server with a configuration file of its own format"}
	file := cmd.Flags().String("config", "", "configuration file of nats-server")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log := newLog(env.Stderr, zap.NewAtomicLevelAt(zap.DebugLevel)) // what nats-server calls a notice is debug to us
		defer func() { _ = log.Sync() }()
		return withCode(exitConfig, embedded.RunFile(cmd.Context(), *file, log))
	}
	return cmd
}
