package publisher

import (
	"testing"
	"time"
)

// clocked is a committer without a goroutine that sends, at a time of its own, that knows batches to be faster under many events, and plain
// publishes under few.
type clocked struct {
	*deaf
	at time.Time
}

const many, few = 500, 40

func newClocked() *clocked {
	d := &clocked{newIdleDeaf(nil), time.Unix(0, 0)}
	d.now = func() time.Time { return d.at }
	d.allowAtomic(true)
	for load, faster := range map[int]mode{many: atomicBatch, few: pipelined} {
		for range exploreSamples {
			d.chooser.observe(faster, load, 50_000, time.Second, 0, exact)
			d.chooser.observe(faster.other(), load, 5_000, time.Second, 0, exact)
		}
		d.chooser.classes[loadClass(load)].next = d.at.Add(time.Hour)
	}
	return d
}

// enter takes a webhook in and returns the flight that its caller is to send, or nil when it waits.
func (d *clocked) enter(t *testing.T, events int) *flight {
	t.Helper()
	p := newPending(t.Context(), messages("d", events))
	p.arrived = d.at
	f, err := d.enqueue(p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wait puts a webhook on the queue.
func (d *clocked) wait(t *testing.T, events int) {
	t.Helper()
	if f := d.enter(t, events); f != nil {
		t.Fatalf("flight %+v goes direct", f)
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

// TestTheFirstBatchIsNoSample looks at batches where plain publishes store more. When these are under way until then, the first batch finds a
// queue that filled meanwhile, and says only how much a batch may store at most. After a pause it does not, and counts.
func TestTheFirstBatchIsNoSample(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		count int
	}{"at once": {0, 0}, "after a pause": {2 * idleLongest, 1}} {
		d := newClocked()
		class := &d.chooser.classes[loadClass(few)]
		plain := d.enter(t, few)
		class.next, class.backoff = d.at, exploreLast
		d.at = d.at.Add(sampleTime)
		for i := range few {
			d.finish(plain.id, i, stored, nil)
		}
		d.sending = false
		d.at = d.at.Add(test.pause)
		d.wait(t, few)
		d.land(d.depart(t, atomicBatch), time.Microsecond)
		if got := class.seen[atomicBatch].samples - exploreSamples; got != test.count {
			t.Errorf("%s: the first batch is %d samples", name, got)
		}
		d.wait(t, few)
		d.land(d.depart(t, atomicBatch), time.Microsecond)
		if got := class.seen[atomicBatch].samples - exploreSamples; got != test.count+1 {
			t.Errorf("%s: the first two batches are %d samples", name, got)
		}
	}
}
