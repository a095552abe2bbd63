package nats_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"mewsbridge/publisher/natstest"
)

func TestMain(m *testing.M) {
	if os.Getenv(hubPort) != "" {
		os.Exit(runHub())
	}
	goleak.VerifyTestMain(m, natstest.OutlivesShutdown()...)
}
