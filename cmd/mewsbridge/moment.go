package main

import (
	"errors"
	"time"
)

// moment is the value of a flag that is a time: RFC 3339, or how long ago it was. The zero moment was not given.
type moment struct{ time.Time }

// Type names the value in help.
func (m *moment) Type() string { return "time" }

func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Set reads "90m" or "2026-01-31T08:00:00Z".
func (m *moment) Set(text string) error {
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return errors.New("a time to come")
		}
		m.Time = time.Now().Add(-ago)
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return errors.New("give how long ago, such as 90m, or a time such as 2026-01-31T08:00:00Z")
	}
	m.Time = at
	return nil
}

// start returns the moment for a consumer's OptStartTime; nil when it was not given.
func (m *moment) start() *time.Time {
	if m.IsZero() {
		return nil
	}
	at := m.UTC()
	return &at
}
