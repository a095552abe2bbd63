package publisher

import (
	"testing"
	"time"
)

// clocked is a committer without a goroutine that sends, at a time of its own, that knows batches to be faster under many events, and plain
// publishes under few.
type clocked struct {
	*deaf
	at    time.Time
	known chooser // at the start
}

const many, few = 500, 40

func newClocked() *clocked {
	d := &clocked{deaf: newIdleDeaf(nil), at: time.Unix(0, 0)}
	d.now = func() time.Time { return d.at }
	d.allowAtomic(true)
	for load, faster := range map[int]mode{many: atomicBatch, few: pipelined} {
		for range exploreSamples {
			d.chooser.observe(faster, load, 50_000, time.Second, 0, exact)
			d.chooser.observe(faster.other(), load, 5_000, time.Second, 0, exact)
		}
		d.chooser.classes[loadClass(load)].next = d.at.Add(time.Hour)
	}
	d.known = d.chooser
	return d
}

// wait puts a webhook on the queue.
func (d *clocked) wait(t *testing.T, events int) {
	t.Helper()
	p := newPending(t.Context(), messages("d", events))
	p.arrived = d.at
	if f, err := d.enqueue(p); f != nil || err != nil {
		t.Fatalf("its caller is to send %+v: %v", f, err)
	}
}

// depart draws the next flight, which has to be of a mode.
func (d *clocked) depart(t *testing.T, want mode) *flight {
	t.Helper()
	f, _ := d.draw(d.at)
	if f == nil || f.mode != want {
		t.Fatalf("flight %+v, want mode %d", f, want)
	}
	return f
}

// land has a batch be stored after a time.
func (d *clocked) land(f *flight, after time.Duration) {
	d.at = d.at.Add(after)
	d.finish(f.id, 0, stored, nil)
}

// acknowledge has every message of plain publishes be stored after a time.
func (d *clocked) acknowledge(f *flight, after time.Duration) {
	d.at = d.at.Add(after)
	for i := range f.events {
		d.finish(f.id, i, stored, nil)
	}
}

// samples returns how many samples of a mode were taken under a load since newClocked.
func (d *clocked) samples(m mode, load int) int {
	class := loadClass(load)
	return d.chooser.classes[class].seen[m].samples - d.known.classes[class].seen[m].samples
}

// TestTheLoadIsThatOfAMoment lands a batch that leaves few events behind. Until its senders have sent the next, these are not the load.
func TestTheLoadIsThatOfAMoment(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		want  mode
	}{"at once": {0, atomicBatch}, "after a pause": {2 * idleLongest, pipelined}} {
		d := newClocked()
		d.wait(t, many)
		f := d.depart(t, atomicBatch)
		d.wait(t, few)
		d.land(f, 20*time.Millisecond)
		d.at = d.at.Add(test.pause)
		t.Log(name)
		d.depart(t, test.want)
	}
}

// TestTheLoadIsThatOfAllSenders has two cohorts of senders take turns: while the batch of one is under way the other's webhooks arrive. Both batches
// are samples of the load that all are together. Else the batches of the larger would stand for that load, and be thought to be twice as fast.
func TestTheLoadIsThatOfAllSenders(t *testing.T) {
	d := newClocked()
	larger, smaller := 3*many/4, many/4
	d.wait(t, larger)
	for range 3 {
		f := d.depart(t, atomicBatch)
		d.wait(t, smaller)
		d.land(f, time.Millisecond)
		f = d.depart(t, atomicBatch)
		d.wait(t, larger)
		d.land(f, time.Millisecond)
	}
	for load, want := range map[int]int{many: 6, few: 0, smaller: 0} {
		if got := d.samples(atomicBatch, load); got != want {
			t.Errorf("%d samples of batches under a load of %d, want %d", got, load, want)
		}
	}
}

// TestWhatIsToGoAsABatchWaits has one event come where batches are faster.
func TestWhatIsToGoAsABatchWaits(t *testing.T) {
	d := newClocked()
	d.prefer(atomicBatch)
	d.wait(t, 1)
	d.depart(t, atomicBatch)
}

// TestWhatComesWithABatchWaits has a webhook that is to go by plain publishes come while a batch is under way.
func TestWhatComesWithABatchWaits(t *testing.T) {
	d := newClocked()
	d.window = maxWindow // it would have room
	d.wait(t, many)
	d.depart(t, atomicBatch)
	d.chooser.classes[loadClass(many)].faster = pipelined
	d.wait(t, 1)
}

// TestWhatIsHeldBackIsNoLoad has few events under way when many arrive, which wait, for they are to go as a batch. How fast the few are stored says
// nothing of how fast plain publishes would store the many.
func TestWhatIsHeldBackIsNoLoad(t *testing.T) {
	for _, after := range []time.Duration{sampleTime - time.Millisecond, 2 * sampleTime, sampleLongest} {
		d := newClocked()
		d.window = maxWindow // it does not grow
		d.wait(t, few/2)
		d.wait(t, few/2)
		first, second := d.depart(t, pipelined), d.depart(t, pipelined)
		d.wait(t, many-few)
		d.acknowledge(first, after)
		d.acknowledge(second, after)
		for load, want := range map[int]int{many: 0, few: 1} {
			if got := d.samples(pipelined, load); got != want {
				t.Errorf("after %v: %d samples of plain publishes under a load of %d, want %d", after, got, load, want)
			}
		}
		d.depart(t, atomicBatch)
	}
}

// TestTheLoadIsTheMostThatDeparted has plain publishes go on with fewer events.
func TestTheLoadIsTheMostThatDeparted(t *testing.T) {
	d := newClocked()
	d.window = maxWindow
	d.wait(t, few-2)
	d.wait(t, 2)
	most, rest := d.depart(t, pipelined), d.depart(t, pipelined)
	d.acknowledge(most, time.Millisecond)
	d.wait(t, 2)
	last := d.depart(t, pipelined)
	d.acknowledge(rest, time.Millisecond)
	d.acknowledge(last, time.Millisecond)
	if got := d.samples(pipelined, few); got != 1 {
		t.Errorf("%d samples of plain publishes under a load of %d, want one", got, few)
	}
}

// TestTheRestOfAWebhookIsLoad has a webhook that needs two batches, of which the first lands while that of another is under way.
func TestTheRestOfAWebhookIsLoad(t *testing.T) {
	const part = worthOverlap
	d := newClocked()
	d.batchLimit = part
	d.wait(t, 2*part)
	d.wait(t, part)
	first, second := d.depart(t, atomicBatch), d.depart(t, atomicBatch)
	d.land(first, sampleLongest)
	d.land(second, sampleLongest)
	if got := d.samples(atomicBatch, part); got > 0 {
		t.Errorf("%d samples of batches under a load of %d: twice as much was outstanding", got, part)
	}
}

// TestTheFirstBatchIsNoSample looks at batches where plain publishes store more. When these are under way until then, the first batch finds a
// queue that filled meanwhile, and says only how much a batch may store at most. After a pause it does not, and counts.
func TestTheFirstBatchIsNoSample(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		count int
	}{"at once": {0, 0}, "after a pause": {2 * idleLongest, 1}} {
		d := newClocked()
		class := &d.chooser.classes[loadClass(few)]
		d.wait(t, few)
		plain := d.depart(t, pipelined)
		class.next, class.backoff = d.at, exploreLast
		d.acknowledge(plain, sampleTime)
		d.at = d.at.Add(test.pause)
		d.wait(t, few)
		d.land(d.depart(t, atomicBatch), time.Microsecond)
		if got := d.samples(atomicBatch, few); got != test.count {
			t.Errorf("%s: the first batch is %d samples", name, got)
		}
		d.wait(t, few)
		d.land(d.depart(t, atomicBatch), time.Microsecond)
		if got := d.samples(atomicBatch, few); got != test.count+1 {
			t.Errorf("%s: the first two batches are %d samples", name, got)
		}
	}
}
