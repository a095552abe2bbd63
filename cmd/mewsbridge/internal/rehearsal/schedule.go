package rehearsal

import (
	"math/rand/v2"
	"time"
)

// Pauses between two faults, and how long things stay whole before the first and after the last.
const (
	minPause = 400 * time.Millisecond
	maxPause = 2 * time.Second
	quiet    = time.Second
)

// Injection is one fault of a schedule.
type Injection struct {
	At    time.Duration // since the load began
	Fault Fault
	Hold  time.Duration // how long it lasts, restarts not counted
	Draw  uint64        // what else is left to chance: which server, at which byte
}

// Schedule draws the faults of one setup. The same arguments always give the same schedule. Each fault comes once, in any
// order, before one comes again; the last ends before the duration does. When not every fault finds room once, least is more than duration.
func Schedule(seed uint64, setup Setup, faults []Fault, duration time.Duration) (plan []Injection, least time.Duration) {
	faults = possible(faults, setup)
	random := rand.New(rand.NewPCG(seed, uint64(len(setup))<<8|uint64(setup[0])))
	at := quiet
	for round := 0; len(faults) > 0; round++ {
		for _, i := range random.Perm(len(faults)) {
			kind := kindOf(faults[i])
			injection := Injection{At: at + between(random, minPause, maxPause), Fault: kind.fault,
				Hold: between(random, kind.min, kind.max), Draw: random.Uint64()}
			at = injection.At + injection.Hold
			if round > 0 && at+quiet > duration-duration/8 { // restarts take time too
				return plan, least
			}
			plan = append(plan, injection)
		}
		if round == 0 {
			least = at + quiet
			if least >= duration {
				return plan, least
			}
		}
	}
	return plan, least
}

func between(random *rand.Rand, low, high time.Duration) time.Duration {
	return (low + time.Duration(random.Float64()*float64(high-low))).Round(time.Millisecond)
}
