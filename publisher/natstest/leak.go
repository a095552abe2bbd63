package natstest

import "go.uber.org/goleak"

// OutlivesShutdown has a test for leaks overlook the goroutines that nats-server itself leaves behind when it ends.
func OutlivesShutdown() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	var options []goleak.Option
	for _, function := range []string{
		".(*Server).startGoRoutine.func1",
		"/ats.Register.func1",
		// A stream that is filled from another waits up to 30 s to hear from it, also after Shutdown.
		".(*stream).trySetupSourceConsumer.func3",
		// The store of a stream that somebody creates during Shutdown is not stopped.
		".(*fileStore).flushStreamStateLoop",
		".(*msgBlock).flushLoop",
	} {
		options = append(options, goleak.IgnoreAnyFunction(server+function))
	}
	return options
}
