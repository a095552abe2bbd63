package publisher

import (
	"testing"
	"time"
)

// newLooking returns a chooser that knows plain publishes to be faster under these loads, and begins to look at batches under the first.
func newLooking(t *testing.T, loads ...int) (c *chooser, now time.Time) {
	t.Helper()
	c, now = &chooser{}, time.Unix(0, 0)
	for _, load := range loads {
		for range exploreSamples {
			c.observe(pipelined, load, 150, 10*time.Millisecond, 0, exact)
			c.observe(atomicBatch, load, 100, 10*time.Millisecond, 0, exact)
		}
	}
	c.pick(loads[0], now)
	now = now.Add(exploreFirst)
	if got := c.pick(loads[0], now); got != atomicBatch {
		t.Fatal("batches are not looked at")
	}
	return c, now
}

func TestChooserPrefersWhatWasFaster(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	if got := c.pick(load, now); got != atomicBatch {
		t.Fatalf("first pick under load is %d", got)
	}
	c.observe(atomicBatch, load, 50_000, time.Second, 0, exact)
	now = now.Add(exploreUnseenFor)
	if got := c.pick(load, now); got != pipelined {
		t.Fatal("the other mode is not tried")
	}
	c.observe(pipelined, load, 5_000, time.Second, 0, exact)
	now = now.Add(exploreUnseenFor)
	if got := c.pick(load, now); got != atomicBatch {
		t.Error("the slower mode is picked")
	}
	if got := c.pick(1, now); got != pipelined {
		t.Error("a lone event begins as a batch")
	}
	for range 20 { // the server changes: batches become slow
		c.observe(atomicBatch, load, 1_000, time.Second, 0, exact)
	}
	if got := c.pick(load, now.Add(2*exploreLast)); got != pipelined {
		t.Error("the mode that became slower is still picked")
	}
}

func TestChooserLooksAgainEverMoreRarely(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	c.observe(atomicBatch, load, 50_000, time.Second, 0, exact)
	c.observe(pipelined, load, 5_000, time.Second, 0, exact)
	explored := 0
	for range 600 { // ten minutes
		now = now.Add(time.Second)
		if c.pick(load, now) == pipelined {
			explored++
		}
	}
	if explored < 5 || explored > 20 {
		t.Errorf("explored %d times in ten minutes", explored)
	}
}

// TestChooserForgetsABadStart has batches store little while everything is still cold, and then, looked at again, three times what plain
// publishes do.
func TestChooserForgetsABadStart(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	c.observe(atomicBatch, load, 500, 200*time.Millisecond, 0, exact)
	c.observe(pipelined, load, 1_000, 200*time.Millisecond, 0, exact)
	if got := c.pick(load, now); got != pipelined {
		t.Fatalf("picked %d, the slower mode", got)
	}
	if got := c.pick(load, now.Add(exploreClear)); got != atomicBatch {
		t.Fatal("batches are not looked at again")
	}
	for range exploreSamples {
		c.observe(atomicBatch, load, 150, 10*time.Millisecond, 0, exact)
	}
	if got := c.pick(load, now.Add(exploreClear)); got != atomicBatch {
		t.Error("the start counts for more than what batches store now")
	}
}

// TestChooserDoubtsASingleCommit has the one batch that was tried take ten times as long as usual.
func TestChooserDoubtsASingleCommit(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load, more = 50, 150
	c.observe(atomicBatch, load, 50, 22*time.Millisecond, 0, exact)
	for range exploreSamples {
		c.observe(pipelined, load, 125, 20*time.Millisecond, 0, exact)
	}
	if got := c.pick(load, now); got != pipelined {
		t.Errorf("picked %d, the slower mode as far as is known", got)
	}
	for range exploreSamples {
		c.observe(pipelined, more, 125, 20*time.Millisecond, 0, exact)
	}
	if got := c.pick(more, now); got != atomicBatch {
		t.Error("batches are not tried under more load")
	}
	now = now.Add(exploreUnseenFor)
	if got := c.pick(load, now.Add(exploreFirst)); got != atomicBatch {
		t.Error("batches are not looked at again soon")
	}
}

// TestChooserEndsALookThatConfirms sees one sample of the slower mode, and no more until it has rested for a multiple of what that took.
func TestChooserEndsALookThatConfirms(t *testing.T) {
	const load, less = 100, 1
	c, now := newLooking(t, load, less)
	const took = 25 * time.Millisecond
	now = now.Add(took)
	if got := c.pick(load, now); got != atomicBatch {
		t.Error("the look ended without a sample")
	}
	c.observe(atomicBatch, less, 1, took, 0, exact)
	if got := c.pick(load, now); got != atomicBatch {
		t.Error("the look ended for a sample under another load")
	}
	c.observe(atomicBatch, load, 100, took, 0, exact)
	if got := c.pick(load, now); got != pipelined {
		t.Error("the look goes on after a sample that confirms what is known")
	}
	c.classes[loadClass(load)].next = now // at once
	if got := c.pick(load, now.Add((exploreRest-1)*took)); got != pipelined {
		t.Error("looked again without a rest")
	}
	if got := c.pick(load, now.Add((exploreRest+1)*took)); got != atomicBatch {
		t.Error("not looked at again after the rest")
	}
}

// TestChooserWaitsForSlowCommits has commits take longer than a look: it lasts until one counts, or for want of any until exploreMost.
func TestChooserWaitsForSlowCommits(t *testing.T) {
	const load = 100
	for name, comes := range map[string]bool{"a sample counts": true, "none does": false} {
		c, now := newLooking(t, load)
		c.observe(atomicBatch, load, 500, 10*time.Millisecond, 0, atMost)
		if got := c.pick(load, now.Add(2*exploreFor)); got != atomicBatch {
			t.Errorf("%s: the look ended before", name)
		}
		end := now.Add(exploreMost)
		if comes {
			c.observe(atomicBatch, load, 105, 10*time.Millisecond, 0, exact)
			end = now.Add(2 * exploreFor)
		}
		if got := c.pick(load, end); got != pipelined {
			t.Errorf("%s: the look goes on after", name)
		}
	}
}

// TestChooserRestsNoLongerThanALookCanTake has the load end in the middle of a look, and come back an hour later.
func TestChooserRestsNoLongerThanALookCanTake(t *testing.T) {
	const load = 100
	c, now := newLooking(t, load)
	now = now.Add(time.Hour)
	if got := c.pick(load, now); got != pipelined {
		t.Error("the look goes on after an hour")
	}
	if got := c.pick(load, now.Add(exploreLast)); got != atomicBatch {
		t.Error("not looked at again")
	}
}

// TestChooserDoesNotTrustAFullQueue changes to batches while a queue has filled that is larger than any that follows.
func TestChooserDoesNotTrustAFullQueue(t *testing.T) {
	const load = 100
	c, now := newLooking(t, load)
	c.observe(atomicBatch, load, 500, 20*time.Millisecond, 0, atMost)
	if c.classes[loadClass(load)].faster != pipelined {
		t.Error("batches count as faster for a queue that had filled")
	}
	if got := c.pick(load, now); got != atomicBatch {
		t.Error("the look ended before a sample that says something")
	}
	c.observe(atomicBatch, load, 500, 20*time.Millisecond, 0, exact)
	if c.classes[loadClass(load)].faster != atomicBatch {
		t.Error("the sample that follows does not count")
	}
}

// TestChooserLooksWhereItTellsMost has plain publishes be faster under much load, and so under less: only the former is looked at.
func TestChooserLooksWhereItTellsMost(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const less, load = 10, 100
	for _, events := range []int{less, load} {
		for range inferSamples {
			c.observe(pipelined, events, 150, 10*time.Millisecond, 0, exact)
			c.observe(atomicBatch, events, 100, 10*time.Millisecond, 0, exact)
		}
	}
	looks := 0
	for second := range 300 {
		now = now.Add(time.Second)
		if c.pick(less, now) == atomicBatch {
			looks++
		}
		if looks > 0 && second < 30 {
			t.Fatal("looked at under less load")
		}
	}
	if looks == 0 || looks > 5 {
		t.Errorf("looked %d times in five minutes in which there was not much load", looks)
	}
}

// TestChooserDoesNotLookForEver has the load pass through classes so fast that no sample is taken under them: each draw of the
// queue would begin another look, and the modes would change all the time.
func TestChooserDoesNotLookForEver(t *testing.T) {
	var c chooser
	const passing, steady, most = 20, 100, 150
	c.observe(atomicBatch, steady, 15_000, time.Second, 0, exact)
	c.observe(pipelined, steady, 5_000, time.Second, 0, exact)
	c.observe(atomicBatch, passing, 3_000, time.Second, 0, exact)
	now := time.Unix(0, 0)
	draws, plain := 0, 0
	for end := now.Add(10 * time.Second); now.Before(end); now = now.Add(10 * time.Millisecond) {
		for _, events := range []int{passing, most, steady} {
			draws++
			if c.pick(events, now) == pipelined {
				plain++
				c.observe(pipelined, steady, 50, 10*time.Millisecond, 0, exact)
			}
		}
	}
	if plain == 0 || plain > draws/50 {
		t.Errorf("%d of %d draws were plain publishes, which store a third", plain, draws)
	}
}

// TestChooserInfersFromItsNeighbours spares a load the mode that is clearly slower where it should do better.
func TestChooserInfersFromItsNeighbours(t *testing.T) {
	now := time.Unix(0, 0)
	const little, load, much = 4, 100, 2000
	for _, test := range []struct {
		name         string
		batch, plain int
		events       int
		want         mode
	}{
		{"batches are slow", 5_000, 50_000, little, pipelined},
		{"batches are fast", 50_000, 5_000, much, atomicBatch},
	} {
		var c chooser
		for range exploreSamples {
			c.observe(atomicBatch, load, test.batch, time.Second, 0, exact)
			c.observe(pipelined, load, test.plain, time.Second, 0, exact)
		}
		for range 100 {
			if got := c.pick(test.events, now); got != test.want {
				t.Errorf("%s: picked %d", test.name, got)
			}
		}
		if c.expect(test.events, true) != 0 {
			t.Errorf("%s: a time is expected of a load not seen yet", test.name)
		}
		if got := c.pick(test.events, now.Add(2*exploreLast)); got == test.want {
			t.Errorf("%s: the other mode is never tried", test.name)
		}
	}
	var single chooser
	single.observe(atomicBatch, load, 5_000, time.Second, 0, exact)
	single.observe(pipelined, load, 50_000, time.Second, 0, exact)
	if m, ok := single.inferred(loadClass(little)); ok {
		t.Errorf("one sample of each says that %d is faster under another load", m)
	}
	var c chooser // nearly alike: nothing follows for the neighbours
	for range exploreSamples {
		c.observe(atomicBatch, load, 50_000, time.Second, 0, exact)
		c.observe(pipelined, load, 40_000, time.Second, 0, exact)
	}
	c.observe(pipelined, much, 40_000, time.Second, 0, exact)
	if got := c.pick(much, now); got != atomicBatch {
		t.Error("batches are not tried under more load")
	}
}

// TestChooserDoesNotWaver has batches taken only when they are clearly faster, and kept while they are faster at all: they cost the server
// more than their rate shows, and each change waits for what is under way.
func TestChooserDoesNotWaver(t *testing.T) {
	var c chooser
	const load = 100
	now := time.Unix(0, 0)
	c.observe(pipelined, load, 50_000, time.Second, 0, exact)
	for _, step := range []struct {
		batches int // stored each second, where plain publishes store 50,000
		want    mode
	}{{52_000, pipelined}, {56_000, pipelined}, {65_000, atomicBatch}, {56_000, atomicBatch}, {51_000, pipelined}, {56_000, pipelined}} {
		for range 20 {
			c.observe(atomicBatch, load, step.batches, time.Second, 0, exact)
		}
		if got := c.pick(load, now); got != step.want {
			t.Errorf("with %d by batches and 50,000 plain: picked %d, want %d", step.batches, got, step.want)
		}
	}
}

// TestChooserCountsThePauses compares the modes by what they store in a time, pauses included, and expects of a queue, which leaves none, what
// they store when busy.
func TestChooserCountsThePauses(t *testing.T) {
	var c chooser
	const load = 80
	now := time.Unix(0, 0)
	for range 20 {
		c.observe(atomicBatch, load, 80, time.Millisecond, time.Millisecond, exact)
		c.observe(pipelined, load, 50, time.Millisecond, 0, exact)
	}
	if got := c.pick(load, now); got != pipelined {
		t.Error("batches were taken that store less in a time")
	}
	if got, want := c.expect(80, true), time.Millisecond; got != want {
		t.Errorf("80 events are expected to take %v, want %v", got, want)
	}
}

// TestChooserExpectsTheBetterOfTwoRates takes a first burst of plain acknowledgements for a good rate, and then sees the real one. Until it
// has changed back, no webhook is to be refused for the slower way's time.
func TestChooserExpectsTheBetterOfTwoRates(t *testing.T) {
	var c chooser
	const load = 60_000
	c.observe(atomicBatch, load, 3_000, 100*time.Millisecond, 0, exact)
	c.observe(pipelined, load, 500, 10*time.Millisecond, 0, exact) // as if 50,000 each second
	c.observe(pipelined, load, 500, 10*time.Millisecond, 0, exact)
	c.observe(pipelined, load, 30, 15*time.Millisecond, 0, exact)
	if m, sure := c.faster(loadClass(load)); !sure || m != pipelined {
		t.Fatal("the first burst did not make plain publishes the faster way")
	}
	if got, atMost := c.expect(load, true), 2*time.Second; got == 0 || got > atMost {
		t.Errorf("expected %v, at most %v at the rate of batches", got, atMost)
	}
}
