package publisher

import (
	"testing"
	"time"

	"mewsbridge/schema"
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

// acknowledge has every message of plain publishes be stored after a time.
func (d *clocked) acknowledge(f *flight, after time.Duration) {
	d.at = d.at.Add(after)
	for i := range f.events {
		d.finish(f.id, i, stored, nil)
	}
	d.sending = false
}

// plainSamples returns how many samples of plain publishes there are of all loads.
func (d *clocked) plainSamples() (n int) {
	for i := range d.chooser.classes {
		n += d.chooser.classes[i].seen[pipelined].samples
	}
	return n
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
	for class, rates := range d.chooser.classes {
		want := 0
		if class == loadClass(many) {
			want = exploreSamples + 6
		} else if class == loadClass(few) {
			want = exploreSamples
		}
		if got := rates.seen[atomicBatch].samples; got != want {
			t.Errorf("of load class %d there are %d samples of batches, want %d", class, got, want)
		}
	}
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

// TestWhatIsHeldBackIsNoSample has few events under way when many arrive, which wait, for they are to go as a batch.
func TestWhatIsHeldBackIsNoSample(t *testing.T) {
	d := newClocked()
	plain := d.enter(t, few)
	d.wait(t, many-few)
	d.acknowledge(plain, sampleTime-time.Millisecond)
	d.at = d.at.Add(idleLongest)
	batch := d.depart(t, atomicBatch)
	if got := d.plainSamples(); got != 2*exploreSamples {
		t.Errorf("there are %d samples of plain publishes, want none", got-2*exploreSamples)
	}
	if !d.sampled.first || d.sampled.idle != 0 {
		t.Errorf("the batch is measured as %+v: want one that follows plain publishes without a pause", d.sampled)
	}
	d.land(batch, time.Millisecond)
}

// TestWhatWaitsIsOfTheSample has plain publishes be acknowledged sooner than the next can be sent.
func TestWhatWaitsIsOfTheSample(t *testing.T) {
	d := newClocked()
	d.window = maxWindow // it does not grow
	first := d.enter(t, few/2)
	d.wait(t, few/2)
	d.acknowledge(first, time.Millisecond)
	before := d.chooser.classes[loadClass(few)].seen[pipelined]
	d.acknowledge(d.depart(t, pipelined), time.Millisecond)
	after := d.chooser.classes[loadClass(few)].seen[pipelined]
	if got := d.plainSamples(); got != 2*exploreSamples+1 {
		t.Errorf("there are %d samples of plain publishes, want one", got-2*exploreSamples)
	}
	if want := before.rate(); after.rate() >= want {
		t.Errorf("the sample is of %.0f events/s and more, want one of %d events in 2 ms", want, few)
	}
}

// TestWhoGivesUpEndsNoPause has the only webhook that waits be given up, and another come after a pause.
func TestWhoGivesUpEndsNoPause(t *testing.T) {
	d := newClocked()
	d.window = maxWindow
	first := d.enter(t, few)
	d.wait(t, 1)
	d.acknowledge(first, time.Millisecond)
	if err := d.giveUp(d.fresh.peek()); err == nil {
		t.Error("given up without an error")
	}
	d.thePauseDoesNotCount(t)
}

// TestWhatFailsEndsNoPause has plain publishes that waited fail, and a webhook come after a pause.
func TestWhatFailsEndsNoPause(t *testing.T) {
	d := newClocked()
	d.window = maxWindow
	first := d.enter(t, few)
	d.wait(t, 1)
	d.acknowledge(first, time.Millisecond)
	d.finish(d.depart(t, pipelined).id, -1, refused, &refusal{schema.ErrRefused, codeMessageTooLarge, "too large"})
	d.thePauseDoesNotCount(t)
}

// thePauseDoesNotCount has a webhook be stored a minute later.
func (d *clocked) thePauseDoesNotCount(t *testing.T) {
	t.Helper()
	rates := &d.chooser.classes[loadClass(few)]
	before := rates.rate(pipelined)
	d.at = d.at.Add(time.Minute)
	d.acknowledge(d.enter(t, few), time.Millisecond)
	if after := rates.rate(pipelined); after < before/2 {
		t.Errorf("the rate falls from %.0f to %.0f events/s: the pause is counted as busy", before, after)
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
		d.acknowledge(plain, sampleTime)
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
