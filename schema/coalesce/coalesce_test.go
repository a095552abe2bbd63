package coalesce_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"mewsbridge/schema/coalesce"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func show(groups []coalesce.Group[string, int]) string {
	text := ""
	for _, g := range groups {
		text += fmt.Sprintf("%s%v ", g.Key, g.Items)
	}
	return text
}

func TestWindow(t *testing.T) {
	w := coalesce.New[string, int](10 * time.Second)
	if _, ok := w.Next(); ok || w.Len() != 0 || len(w.Due(after(100))) != 0 || len(w.All()) != 0 {
		t.Error("an empty window holds something")
	}
	w.Add(after(0), "a", 1)
	w.Add(after(3), "b", 2)
	w.Add(after(9), "a", 3)
	if at, ok := w.Next(); !ok || !at.Equal(after(10)) || w.Len() != 2 {
		t.Errorf("next at %v, %v; %d groups", at, ok, w.Len())
	}
	if due := w.Due(after(9)); len(due) != 0 {
		t.Errorf("too early: %s", show(due))
	}
	if due := w.Due(after(10)); show(due) != "a[1 3] " || !due[0].First.Equal(after(0)) {
		t.Errorf("at the end of its window: %s", show(due))
	}
	w.Add(after(11), "a", 4) // while a is being fetched
	w.Add(after(2), "c", 5)  // from another clock
	if at, _ := w.Next(); !at.Equal(after(12)) {
		t.Errorf("next at %v", at)
	}
	if due := w.Due(after(13)); show(due) != "c[5] b[2] " {
		t.Errorf("due %s", show(due))
	}
	w.Add(after(14), "d", 6)
	if all := w.All(); show(all) != "a[4] d[6] " || w.Len() != 0 {
		t.Errorf("all %s", show(all))
	}
	if due := w.Due(after(1000)); len(due) != 0 {
		t.Errorf("after all: %s", show(due))
	}
}

func TestNoWindowWaitsForNothing(t *testing.T) {
	w := coalesce.New[string, int](-time.Second)
	w.Add(start, "a", 1)
	if due := w.Due(start); show(due) != "a[1] " {
		t.Errorf("due %s", show(due))
	}
}

// TestEachItemOnce holds a window to a plain model: every item comes out once, with its key, in its order, not before its time, and
// never later than the window's length after it was added, given that Due is asked.
func TestEachItemOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length = 5
		w := coalesce.New[int, int](length * time.Second)
		added := map[int]int{} // when, by item
		key := map[int]int{}
		out := map[int]bool{}
		now, next := 0, 0
		collect := func(groups []coalesce.Group[int, int], ended bool) {
			for _, g := range groups {
				if !slices.IsSorted(g.Items) || len(g.Items) == 0 {
					t.Fatalf("items %v", g.Items)
				}
				first := added[g.Items[0]]
				if !g.First.Equal(after(first)) || ended && now < first+length {
					t.Fatalf("at %d: group of %d", now, first)
				}
				for _, item := range g.Items {
					if out[item] || key[item] != g.Key || ended && now > added[item]+length {
						t.Fatalf("at %d: item %d of key %d, added at %d, in %+v", now, item, key[item], added[item], g)
					}
					out[item] = true
				}
			}
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "adds") {
				key[next], added[next] = rapid.IntRange(0, 3).Draw(t, "key"), now
				w.Add(after(now), key[next], next)
				next++
			}
			collect(w.Due(after(now)), true)
			now++
		}
		collect(w.All(), false)
		if len(out) != next {
			t.Fatalf("%d of %d items came out", len(out), next)
		}
	})
}
