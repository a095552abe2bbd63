package publisher_test

import (
	"testing"

	"go.uber.org/goleak"

	"mewsbridge/publisher/natstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, natstest.OutlivesShutdown()...)
}
