package embedded

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// RunFile runs a nats-server as a configuration file in nats-server's own format says, until ctx ends. It is the server that Start
// runs, without what Start demands of it: for a rehearsal, which has to have several, and to kill them.
func RunFile(ctx context.Context, path string, log *zap.Logger) error {
	options, err := server.ProcessConfigFile(path)
	if err != nil {
		return fmt.Errorf("read nats-server configuration: %w", err)
	}
	options.NoSigs = true
	s, err := run(options, log)
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop(s)
	return nil
}
