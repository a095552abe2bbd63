package rehearsal

import (
	"slices"
	"testing"
	"time"
)

func TestScheduleFollowsFromTheSeed(t *testing.T) {
	const duration = time.Minute
	for _, setup := range Setups() {
		for seed := range uint64(50) {
			plan, least := Schedule(seed, setup, Faults(), duration)
			again, _ := Schedule(seed, setup, Faults(), duration)
			other, _ := Schedule(seed+1, setup, Faults(), duration)
			if !slices.Equal(plan, again) || slices.Equal(plan, other) {
				t.Fatalf("%s: the schedule does not follow from the seed", setup)
			}
			if least > duration {
				t.Fatalf("%s: takes %v at least", setup, least)
			}
			end := time.Duration(0)
			for _, i := range plan {
				if kind := kindOf(i.Fault); i.At < end || i.Hold < kind.min || i.Hold > kind.max || !slices.Contains(kind.setups, setup) {
					t.Fatalf("%s: %+v after %v", setup, i, end)
				}
				end = i.At + i.Hold
			}
			if end > duration {
				t.Fatalf("%s: ends at %v", setup, end)
			}
			for _, fault := range possible(Faults(), setup) {
				if !slices.ContainsFunc(plan, func(i Injection) bool { return i.Fault == fault }) {
					t.Errorf("%s: no %s", setup, fault)
				}
			}
		}
	}
}

func TestTooShortForItsFaults(t *testing.T) {
	cfg := Config{Duration: 10 * time.Second, Faults: Faults(), Setups: []Setup{Cluster}}
	if err := cfg.Check(); err == nil {
		t.Error("10s are taken for enough")
	}
	cfg.Duration = time.Minute
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
}

func TestParseNames(t *testing.T) {
	faults, setups, err := Parse([]string{"partition", "bridge-kill", "partition"}, nil)
	if err != nil || !slices.Equal(faults, []Fault{Partition, BridgeKill}) || !slices.Equal(setups, Setups()) {
		t.Errorf("%v %v %v", faults, setups, err)
	}
	if _, setups, err = Parse([]string{"partition"}, nil); err != nil || !slices.Equal(setups, []Setup{Cluster}) {
		t.Errorf("partition alone: %v %v", setups, err)
	}
	for _, bad := range [][2][]string{{{"fire"}, nil}, {nil, {"cloud"}}, {{"partition"}, {"single"}}} {
		if _, _, err := Parse(bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
