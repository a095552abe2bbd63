package main

import (
	"fmt"
	"io"
	"time"
)

// write prints the report for people.
func (r *statusReport) write(out io.Writer) error {
	if err := r.writeFacts(out); err != nil {
		return err
	}
	for _, t := range []*table{r.endpoints(), r.streams(), r.enterprises()} {
		if err := writeSection(out, t); err != nil {
			return err
		}
	}
	if r.enterprisesSeen > 0 {
		fmt.Fprintln(out, dim(out, fmt.Sprintf("%d of %s in the newest %s.", len(r.Enterprises), plural(r.enterprisesSeen, "enterprise", "enterprises"), plural(r.eventsRead, "event", "events"))))
	}
	if len(r.Consumers) > 0 {
		fmt.Fprintln(out)
		if err := printConsumers(out, r.Consumers, r.At); err != nil {
			return err
		}
	}
	return writeSection(out, r.quarantine())
}

func writeSection(out io.Writer, t *table) error {
	if len(t.rows) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	return t.write(out)
}

func (r *statusReport) writeFacts(out io.Writer) error {
	f := newFacts(out)
	bridge := r.Bridge.Admin + " " + r.Bridge.Status
	switch {
	case r.Bridge.Status == "":
		bridge = "not known"
	case r.Bridge.Status != "ready":
		bridge = painted(out, colourFault, bridge+": "+printable(r.Bridge.Cause))
	}
	f.add("bridge", bridge)
	f.add("at risk", r.atRisk(out))
	f.add("silent", r.silent(out))
	server := "not known"
	if r.NATS.Server != "" {
		server = r.NATS.Server + ", nats-server " + r.NATS.Version
	}
	f.add("NATS", server)
	if r.Bridge.Hub != nil {
		f.add("hub", r.hub(out))
	}
	var quarantined uint64
	for _, q := range r.Quarantine {
		quarantined += q.Messages
	}
	if r.NATS.Server != "" {
		f.add("quarantine", plural(quarantined, "message", "messages"))
	}
	for _, what := range r.NotAsked {
		f.add("not asked", painted(out, colourFault, printable(what)))
	}
	return f.write()
}

// atRisk says how many deliveries are lost unless a further attempt is stored, and how soon.
func (r *statusReport) atRisk(out io.Writer) string {
	if len(r.Bridge.Endpoints) == 0 {
		return "not known"
	}
	var n uint64
	var soonest *float64
	for _, e := range r.Bridge.Endpoints {
		n += e.AtRisk
		if e.SecondsUntilLoss != nil && (soonest == nil || *e.SecondsUntilLoss < *soonest) {
			soonest = e.SecondsUntilLoss
		}
	}
	text := plural(n, "delivery", "deliveries")
	if n == 0 {
		return text
	}
	if soonest != nil {
		text += fmt.Sprintf(", the first is lost in %v", time.Duration(*soonest*float64(time.Second)).Round(time.Second))
	}
	return painted(out, colourFault, text)
}

func (r *statusReport) endpoints() *table {
	t := newTable("ENDPOINT", ">LAST WEBHOOK", ">STORED", ">NOT STORED", ">AT RISK")
	for _, e := range r.Bridge.Endpoints {
		t.add(shortened(printable(e.Name), 30), r.ago(e.LastWebhook, "none yet"), grouped(e.Stored), grouped(e.NotStored), grouped(e.AtRisk))
	}
	return t
}

// streams says how old the oldest and the newest message of each are, and how many came within the last minute and hour.
func (r *statusReport) streams() *table {
	t := newTable("STREAM", ">MESSAGES", ">SIZE", ">OLDEST", ">NEWEST", ">1 MIN", ">1 HOUR")
	for _, s := range r.Streams {
		t.add(s.Name, grouped(s.Messages), humanSize(s.Bytes), r.since(s.Oldest), r.since(s.Newest), grouped(s.LastMinute), grouped(s.LastHour))
	}
	return t
}

func (r *statusReport) enterprises() *table {
	t := newTable("ENTERPRISE", ">LAST EVENT", "TYPE", ">EVENTS")
	for _, e := range r.Enterprises {
		t.add(shortened(e.EnterpriseID, 36), r.ago(&e.Last, ""), shortened(e.Type, 24), grouped(e.Events))
	}
	return t
}

func (r *statusReport) quarantine() *table {
	t := newTable("QUARANTINE", ">MESSAGES")
	for _, q := range r.Quarantine {
		t.add(shortened(printable(q.Reason), 30), grouped(q.Messages))
	}
	return t
}

func (r *statusReport) ago(at *time.Time, never string) string {
	if at == nil {
		return never
	}
	return age(*at, r.At) + " ago"
}

// since writes how long ago at was; nothing for no time.
func (r *statusReport) since(at *time.Time) string {
	if at == nil {
		return ""
	}
	return age(*at, r.At)
}
