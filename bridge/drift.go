package bridge

import (
	"strings"
	"sync"

	"go.uber.org/zap"

	"mewsbridge/schema"
)

// What of the contract with Mews has moved: the label what.
const (
	driftDiscriminator = "discriminator"
	driftAction        = "action"
	driftMember        = "member" // of the body, beside those that are documented
	driftKind          = "kind"   // a body that is neither a General nor an Integration webhook
)

func driftKinds() []string { return []string{driftDiscriminator, driftAction, driftMember, driftKind} }

const (
	// maxDrift bounds the names that are remembered; what comes after them is counted and not logged.
	maxDrift = 1000
	// maxDriftName is the longest name that is logged. A longer one, and one that is not a subject token, could be anything.
	maxDriftName = 64
	maskedName   = "(not shown)"
	noMembers    = "(no members)" // an empty object, or no object at all
	// maxDriftMembers is how many members describe a body of unknown kind.
	maxDriftMembers = 8
)

// drift says once of each thing that Mews sends and does not document that it is there: by its name, never by its value.
type drift struct {
	log *zap.Logger

	mu   sync.Mutex
	seen map[[2]string]struct{} // what and name
}

func newDrift(log *zap.Logger) *drift { return &drift{log: log, seen: map[[2]string]struct{}{}} }

// note logs the name unless it has been.
func (d *drift) note(endpoint, what, name string) {
	if d.first(what, name) {
		d.log.Warn("Mews sends something that is not documented; it is stored all the same",
			zap.String(logEndpoint, endpoint), zap.String("what", what), zap.String("name", name))
	}
}

func (d *drift) first(what, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := [2]string{what, name}
	if _, seen := d.seen[key]; seen || len(d.seen) >= maxDrift {
		return false
	}
	d.seen[key] = struct{}{}
	return true
}

// driftName returns a name as it may be logged.
func driftName(name string) string {
	if len(name) > maxDriftName || !schema.IsToken(name) {
		return maskedName
	}
	return name
}

// drifted counts and says what of a stored webhook is not documented. Its events are looked at where they are counted.
func (m *endpointMetrics) drifted(w *schema.Webhook) {
	members := w.UnknownMembers()
	switch {
	case w.Reason == schema.ReasonUnknownKind:
		m.drift[driftKind].Inc()
		names := make([]string, min(len(members), maxDriftMembers))
		for i := range names {
			names[i] = driftName(members[i])
		}
		name := strings.Join(names, ",")
		if name == "" {
			name = noMembers
		}
		m.drifts.note(m.name, driftKind, name)
		return
	case w.Kind == schema.KindIntegration && m.types.of(string(w.Action)) == m.types.other():
		m.drift[driftAction].Inc()
		m.drifts.note(m.name, driftAction, driftName(string(w.Action)))
	}
	for _, name := range members {
		m.drift[driftMember].Inc()
		m.drifts.note(m.name, driftMember, driftName(name))
	}
}
