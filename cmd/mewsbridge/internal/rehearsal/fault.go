package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fault is one way to break things.
type Fault string

// The faults.
const (
	BridgeKill   Fault = "bridge-kill"
	BridgeTerm   Fault = "bridge-term"
	AnswerCut    Fault = "answer-cut"
	StreamDelete Fault = "stream-delete"
	DiskFull     Fault = "disk-full"
	NATSKill     Fault = "nats-kill"
	NATSStop     Fault = "nats-stop"
	NATSCut      Fault = "nats-cut"
	LeaderLoss   Fault = "leader-loss"
	Partition    Fault = "partition"
)

// Setup is what a bridge is rehearsed with.
type Setup string

// The setups.
const (
	Embedded Setup = "embedded" // the bridge with the NATS server inside it
	Single   Setup = "single"   // one nats-server
	Cluster  Setup = "cluster"  // three nats-servers, three replicas
)

// Setups returns all setups in the order in which they are rehearsed.
func Setups() []Setup { return []Setup{Embedded, Single, Cluster} }

// faultKind is what the schedule and the help know of a fault.
type faultKind struct {
	fault    Fault
	what     string
	min, max time.Duration // how long it lasts
	setups   []Setup
	inject   func(*stage, Injection) error
}

// kinds returns the table of faults.
func kinds() []faultKind {
	outside := []Setup{Single, Cluster}
	return []faultKind{
		{BridgeKill, "SIGKILL of the bridge, and a new one", 0, time.Second, Setups(), (*stage).bridgeKill},
		{BridgeTerm, "SIGTERM of the bridge under load, and a new one", 0, time.Second, Setups(), (*stage).bridgeTerm},
		{AnswerCut, "connections from Mews cut at a random byte of an answer", 500 * time.Millisecond, 2 * time.Second, Setups(), (*stage).answerCut},
		{StreamDelete, "the events stream deleted, and made again by the bridge", 0, 0, Setups(), (*stage).streamDelete},
		{DiskFull, "no room: JetStream at its storage limit (single), files that cannot grow (embedded)", time.Second, 3 * time.Second, fillable(), (*stage).diskFull},
		{NATSKill, "SIGKILL of a nats-server, and its restart", 0, 2 * time.Second, outside, (*stage).natsKill},
		{NATSStop, "SIGSTOP of a nats-server for longer than the bridge waits", 4500 * time.Millisecond, 6 * time.Second, outside, (*stage).natsStop},
		{NATSCut, "connections to NATS cut at a random byte", 500 * time.Millisecond, 2 * time.Second, outside, (*stage).natsCut},
		{LeaderLoss, "SIGKILL of the stream's leader, and its restart", time.Second, 4 * time.Second, []Setup{Cluster}, (*stage).leaderLoss},
		{Partition, "one server cut off from the two others, or from clients too", 3 * time.Second, 6 * time.Second, []Setup{Cluster}, (*stage).partition},
	}
}

// Faults returns all faults.
func Faults() []Fault {
	var all []Fault
	for _, k := range kinds() {
		all = append(all, k.fault)
	}
	return all
}

// Describe returns one line for each fault: its name, what it does, and in which setups.
func Describe() string {
	var b strings.Builder
	for _, k := range kinds() {
		where := ""
		if len(k.setups) < len(Setups()) {
			where = fmt.Sprintf(" (%s)", strings.Join(texts(k.setups), ", "))
		}
		fmt.Fprintf(&b, "  %-14s %s%s\n", k.fault, k.what, where)
	}
	return b.String()
}

// Parse returns the faults and the setups of those names, or all when there are none. Setups in which none of the faults is possible
// are left out.
func Parse(faults, setups []string) ([]Fault, []Setup, error) {
	chosen, err := choose("fault", faults, Faults())
	if err != nil {
		return nil, nil, err
	}
	places, err := choose("setup", setups, Setups())
	if err != nil {
		return nil, nil, err
	}
	places = slices.DeleteFunc(places, func(s Setup) bool { return len(possible(chosen, s)) == 0 })
	if len(places) == 0 {
		return nil, nil, fmt.Errorf("none of these faults is possible in this setup")
	}
	return chosen, places, nil
}

func choose[T ~string](what string, names []string, all []T) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []T
	for _, name := range names {
		if !slices.Contains(all, T(name)) {
			return nil, fmt.Errorf("no %s %q; there are %s", what, name, strings.Join(texts(all), ", "))
		}
		if !slices.Contains(chosen, T(name)) {
			chosen = append(chosen, T(name))
		}
	}
	return chosen, nil
}

// possible returns those of faults that a setup can have.
func possible(faults []Fault, setup Setup) []Fault {
	var some []Fault
	for _, k := range kinds() {
		if slices.Contains(faults, k.fault) && slices.Contains(k.setups, setup) {
			some = append(some, k.fault)
		}
	}
	return some
}

func kindOf(fault Fault) faultKind {
	all := kinds()
	return all[slices.IndexFunc(all, func(k faultKind) bool { return k.fault == fault })]
}

func texts[T ~string](names []T) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = string(name)
	}
	return list
}
