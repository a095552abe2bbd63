package simulator

import (
	"math/bits"
	"time"
)

// subBuckets is how many buckets each power of two has: a quantile is at most 1/subBuckets too high.
const (
	subBits    = 5
	subBuckets = 1 << subBits
)

// Histogram counts durations in a fixed amount of memory. It is not safe for concurrent use.
type Histogram struct {
	counts [(64 - subBits + 1) * subBuckets]uint64
	total  uint64
	max    time.Duration
}

// Add counts d, which is taken as 0 when it is negative.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the greatest duration added, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that the share q of the durations do not exceed, at most 3.2 % too high. It is 0
// when nothing was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(max(uint64(q*float64(h.total)+0.5), 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(upperBound(i)), h.max)
		}
	}
	return h.max
}

func bucket(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift*subBuckets + int(v>>shift)
}

// upperBound returns the greatest value that bucket puts into i.
func upperBound(i int) uint64 {
	if i < 2*subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return (uint64(i-shift*subBuckets)+1)<<shift - 1
}
