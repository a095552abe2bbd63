package schema

import "strings"

// Kind says which of the three streams a message belongs to.
type Kind uint8

// The kinds, one stream each.
const (
	KindEvent       Kind = iota // an event of a General webhook
	KindIntegration             // an Integration webhook; it may carry credentials
	KindQuarantine              // bytes that could not be understood
)

// Kinds returns every kind, in a fixed order.
func Kinds() []Kind { return []Kind{KindEvent, KindIntegration, KindQuarantine} }

// String returns the second token of the kind's subjects.
func (k Kind) String() string {
	switch k {
	case KindEvent:
		return "events"
	case KindIntegration:
		return "integrations"
	default:
		return "quarantine"
	}
}

// Stream returns the name of the kind's stream, for example MEWS_EVENTS for the prefix mews.
func (k Kind) Stream(prefix string) string {
	return strings.ToUpper(prefix) + "_" + strings.ToUpper(k.String())
}

// LatestStream returns the name of the stream that holds, when the bridge is asked to keep it, the newest event of each subject of the
// events stream: of each type and entity. It is filled by JetStream, under the same subjects. For example MEWS_LATEST.
func LatestStream(prefix string) string { return strings.ToUpper(prefix) + "_LATEST" }

// Subjects returns the subject filter of the kind's stream, for example mews.events.> for the prefix mews.
func (k Kind) Subjects(prefix string) string {
	return prefix + "." + k.String() + ".>"
}
