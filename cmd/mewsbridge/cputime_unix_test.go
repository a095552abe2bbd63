//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime returns what the process has used of the cores so far. Where they are the limit, its ratios say the same as those of the
// throughput and are steadier on a machine that does other things too.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
