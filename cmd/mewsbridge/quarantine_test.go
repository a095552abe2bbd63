package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"pgregory.net/rapid"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// execute runs the binary and returns what it printed and its exit code.
func execute(t *testing.T, natsURL string, args ...string) (out, errs string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"NATS_URL=" + natsURL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		code = exit.ExitCode()
	}
	return stdout.String(), stderr.String(), code
}

// mustExecute runs the binary, which must end with 0, and returns what it printed.
func mustExecute(t *testing.T, natsURL string, args ...string) string {
	t.Helper()
	out, errs, code := execute(t, natsURL, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

// contains fails for each of want that text lacks.
func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// makeStreams creates the three streams as a bridge has them.
func makeStreams(t *testing.T, js jetstream.JetStream, change func(*jetstream.StreamConfig)) {
	t.Helper()
	for _, kind := range schema.Kinds() {
		config := jetstream.StreamConfig{Name: kind.Stream("mews"), Subjects: []string{kind.Subjects("mews")}, AllowDirect: true, Duplicates: time.Hour}
		if change != nil {
			change(&config)
		}
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
}

// quarantined stores a message in quarantine, as a bridge of another version did.
func quarantined(t *testing.T, js jetstream.JetStream, id string, reason schema.Reason, received, data string) uint64 {
	t.Helper()
	msg := nats.NewMsg("mews.quarantine." + string(reason))
	for name, value := range map[string]string{
		schema.HeaderMsgID: id, schema.HeaderReason: string(reason), schema.HeaderOffset: "0", schema.HeaderEndpoint: "mews", schema.HeaderReceived: received,
	} {
		msg.Header.Set(name, value)
	}
	msg.Data = []byte(data)
	ack, err := js.PublishMsg(t.Context(), msg)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// storedMessage is a message of a stream.
type storedMessage struct {
	Subject, ID string
	Data        []byte
}

// messagesIn returns what a stream holds, by sequence.
func messagesIn(t *testing.T, js jetstream.JetStream, name string) []storedMessage {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var all []storedMessage
	err = readStream(t.Context(), stream, jetstream.OrderedConsumerConfig{}, stream.CachedInfo().State.LastSeq, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		all = append(all, storedMessage{m.Subject(), m.Headers().Get(schema.HeaderMsgID), m.Data()})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	hotel           = "851df8c8-90f2-4c4a-8e01-a4fc46b25178"
	hotelCredential = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D"
)

// TestQuarantineListShowAndPurge goes through the commands as the person on call does, with what a real bridge quarantined.
func TestQuarantineListShowAndPurge(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	hook := p.webhooks + "?Token=" + testToken
	for _, b := range []string{
		`{"EnterpriseId":"` + hotel + `","Events":[{"Discriminator":"Service Order","Value":{"Id":"r1"}},17]}`,
		"{\"Action\":\"IntegrationCreated\",\"Data\":{\"AccessToken\":\"" + hotelCredential + "\",\x1b[31m}",
		`{"Ping":"` + hotelCredential + `"}`,
	} {
		post(t, hook, b)
	}
	contains(t, mustExecute(t, p.nats, "quarantine", "list"), "SEQ  RECEIVED (UTC)", "invalid-discriminator", "not-object", "not-json", "unknown-kind")

	var sequences = map[string]string{}
	for line := range strings.Lines(mustExecute(t, p.nats, "quarantine", "list", "--json", "--since=1h", "--reason=not-json,invalid-discriminator")) {
		var h held
		if err := json.Unmarshal([]byte(line), &h); err != nil || h.Bytes == 0 || time.Since(h.Received) > time.Minute || h.ID == "" {
			t.Errorf("%v in %s", err, line)
		}
		sequences[h.Reason] = fmt.Sprint(h.Sequence)
	}
	if len(sequences) != 2 {
		t.Fatalf("listed %v", sequences)
	}
	out, errs, _ := execute(t, p.nats, "quarantine", "list", "--count=1")
	if !strings.Contains(out, "unknown-kind") || strings.Contains(out, "not-json") || !strings.Contains(errs, "newest 1 of 4") {
		t.Errorf("--count=1: %s%s", out, errs)
	}

	out = mustExecute(t, p.nats, "quarantine", "show", sequences["not-json"], sequences["invalid-discriminator"])
	contains(t, out, "reason    not-json", `"AccessToken":"****`, "^ byte 0x1b", `{"Discriminator":"Service Order",`)
	if strings.Contains(out, hotelCredential[:8]) || strings.Contains(out, "\x1b") {
		t.Errorf("show tells the credential or steers the terminal: %q", out)
	}
	line, caret, _ := strings.Cut(out[strings.Index(out, "  {\"Disc"):], "\n")
	if at := strings.Index(caret, "^"); at != strings.Index(line, `"Service Order"`)+8 { // the offset is in front of the line
		t.Errorf("the caret is at %d:\n%s\n%s", at, line, caret)
	}
	contains(t, mustExecute(t, p.nats, "quarantine", "show", sequences["not-json"], "--reveal"), hotelCredential[:8], ".[31m")
	if out := mustExecute(t, p.nats, "quarantine", "show", sequences["not-json"], "--reveal", "--raw"); !strings.HasSuffix(out, "\x1b[31m}") {
		t.Errorf("--raw wrote %q", out)
	}

	contains(t, mustExecute(t, p.nats, "quarantine", "purge", "--reason=not-json"), "not-json", "1 message would be deleted", "--yes")
	contains(t, mustExecute(t, p.nats, "quarantine", "purge", "--reason=not-json", "--yes"), "1 message deleted")
	contains(t, mustExecute(t, p.nats, "quarantine", "purge", sequences["invalid-discriminator"], "--yes"), "1 message deleted")
	contains(t, mustExecute(t, p.nats, "quarantine", "purge", "--before=1h", "--yes"), "Nothing is in quarantine")
	if out := mustExecute(t, p.nats, "quarantine", "list", "--json"); strings.Count(out, "\n") != 2 || strings.Contains(out, "not-json") || strings.Contains(out, "invalid") {
		t.Errorf("left over: %s", out)
	}
	contains(t, mustExecute(t, p.nats, "quarantine", "purge", "--all", "--yes"), "2 messages deleted")
}

// TestQuarantineReplay has in quarantine what an older bridge could not understand.
func TestQuarantineReplay(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	const received = "2026-01-31T08:00:00.5Z"
	event := `{"Discriminator":"NewType","Value":{"Id":"n1"}}`
	quarantined(t, js, "BODY-0", schema.ReasonUnknownKind, received, `{"EnterpriseId":"`+hotel+`","IntegrationId":"app","Events":[`+event+`,17]}`)
	quarantined(t, js, "LONE-3", schema.ReasonInvalidDiscriminator, received, event)
	quarantined(t, js, "SIBLING-1", schema.ReasonDuplicateMember, received, event)
	quarantined(t, js, "BAD-0", schema.ReasonNotJSON, received, `{`)
	sibling := nats.NewMsg("mews.events.ServiceOrderUpdated." + hotel + ".r1")
	sibling.Header.Set(schema.HeaderMsgID, "SIBLING-0")
	sibling.Data = []byte(`{"specversion":"1.0","data":{"EnterpriseId":"` + hotel + `","IntegrationId":"app","Discriminator":"ServiceOrderUpdated"}}`)
	if _, err := js.PublishMsg(t.Context(), sibling); err != nil {
		t.Fatal(err)
	}

	out := mustExecute(t, s.ClientURL(), "quarantine", "replay", "--all")
	contains(t, out, "1 event, 1 to quarantine one by one", "give --enterprise; stays", "NewType of "+hotel+" (as event 1 of the same webhook)",
		"still not-json at byte 1; stays", "2 of 4 messages would be replayed: 2 events.\nNothing was changed")
	if n := len(messagesIn(t, js, "MEWS_QUARANTINE")); n != 4 {
		t.Fatalf("without --yes %d are in quarantine", n)
	}

	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "replay", "1", "4", "--yes"), "1 of 2 messages replayed: 1 event")
	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "replay", "2", "3", "--enterprise", "other", "--yes"),
		"NewType of other (--enterprise); done", "NewType of "+hotel+" (as event 1 of the same webhook); done", "2 of 2 messages replayed")
	events := messagesIn(t, js, "MEWS_EVENTS")
	var got []string
	for _, e := range events[1:] {
		got = append(got, e.Subject+" "+e.ID)
		contains(t, string(e.Data), `"time":"2026-01-31T08:00:00.5Z"`, event[1:])
	}
	want := "[mews.events.NewType." + hotel + ".n1 BODY-0-0 mews.events.NewType.other.n1 LONE-3-0 mews.events.NewType." + hotel + ".n1 SIBLING-1-0]"
	if fmt.Sprint(got) != want {
		t.Errorf("stored %v\nwant   %v", got, want)
	}
	contains(t, string(events[3].Data), `"EnterpriseId":"`+hotel+`","IntegrationId":"app","Discriminator":"NewType"`)
	left := messagesIn(t, js, "MEWS_QUARANTINE")
	if len(left) != 2 || left[0].ID != "BAD-0" || left[1].ID != "BODY-0-1" || string(left[1].Data) != "17" {
		t.Errorf("left in quarantine: %+v", left)
	}
}

// TestQuarantineReplayTwice cannot take the message out of quarantine after it is published: the second replay stores nothing again.
func TestQuarantineReplayTwice(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, func(c *jetstream.StreamConfig) { c.DenyDelete = true })
	quarantined(t, js, "BODY-0", schema.ReasonInvalidGzip, "2026-01-31T08:00:00Z", body("r1"))
	for range 2 {
		_, errs, code := execute(t, s.ClientURL(), "quarantine", "replay", "1", "--yes")
		if code != exitUnavailable || !strings.Contains(errs, "is published and could not be taken out of quarantine") {
			t.Errorf("exit code %d: %s", code, errs)
		}
	}
	if events := messagesIn(t, js, "MEWS_EVENTS"); len(events) != 1 || events[0].ID != "BODY-0-0" {
		t.Errorf("stored %+v", events)
	}
}

// TestQuarantineSealed has a sealed Integration webhook in quarantine: it is read with the key alone, and stored sealed again.
func TestQuarantineSealed(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "mews.key")
	if err := os.WriteFile(keyFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewSealer(public)
	if err != nil {
		t.Fatal(err)
	}
	plain := `{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1"},"AccessToken":"` + hotelCredential + `"}}`
	sealed, err := sealer.Messages([]schema.Message{{Kind: schema.KindQuarantine, Data: []byte(plain)}})
	if err != nil {
		t.Fatal(err)
	}
	quarantined(t, js, "BODY-0", schema.ReasonInvalidGzip, "2026-01-31T08:00:00Z", string(sealed[0].Data))

	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "show", "1"), "bytes     sealed to "+public+": give --key-file")
	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "show", "1", "--key-file", keyFile), `"AccessToken":"****`)
	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "replay", "1", "--yes"), "give --key-file", "; stays")
	contains(t, mustExecute(t, s.ClientURL(), "quarantine", "replay", "1", "--yes", "--key-file", keyFile), "IntegrationCreated; done")
	events := messagesIn(t, js, "MEWS_INTEGRATIONS")
	if len(events) != 1 || events[0].Subject != "mews.integrations.IntegrationCreated.i1" || !bytes.Contains(events[0].Data, []byte(`"Sealed":"`+public)) || bytes.Contains(events[0].Data, []byte(hotelCredential[:8])) {
		t.Errorf("stored %s", events)
	}
}

func TestQuarantineBadInput(t *testing.T) {
	s := natstest.Start(t)
	makeStreams(t, natstest.JetStream(t, s), nil)
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"list --count=-1", exitUsage, "--count must not be negative"},
		{"list --reason=nonsense", exitUsage, "it knows not-json"},
		{"list --since=yesterday", exitUsage, "give how long ago, such as 90m"},
		{"list --since=1h --before=2h", exitUsage, "--since must be earlier than --before"},
		{"list --prefix=other", exitUnavailable, "no stream OTHER_QUARANTINE"},
		{"list --nats=nats://127.0.0.1:1", exitUnavailable, "--nats nats://host:4222"},
		{"list --creds=missing.creds", exitConfig, "missing.creds"},
		{"list --config=missing.yaml", exitConfig, "missing.yaml"},
		{"show", exitUsage, "say which: one or more sequences"},
		{"show first", exitUsage, "is not a sequence"},
		{"show 7", exitUsage, "there is no message 7 in quarantine"},
		{"show 7 --raw", exitUsage, "add --reveal"},
		{"replay", exitUsage, "say which"},
		{"replay 1 --all", exitUsage, "leave out"},
		{"replay --all --enterprise=a.b", exitUsage, "--enterprise takes an id"},
		{"purge", exitUsage, "say which"},
		{"purge --all --reason=not-json", exitUsage, "--all means every message"},
	} {
		out, errs, code := execute(t, s.ClientURL(), append([]string{"quarantine"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(errs, test.want) {
			t.Errorf("quarantine %s: exit code %d, want %d; %q not in %s%s", test.args, code, test.code, test.want, out, errs)
		}
	}
}

// TestMaskRawHidesSecrets damages a body that carries credentials in every way and looks for them in what is shown.
func TestMaskRawHidesSecrets(t *testing.T) {
	integration := []byte(`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"` + hotel + `","Name":"` + hotelCredential + `"},"Requestor":{"Name":"` + hotelCredential + `","Email":"` + hotelCredential + `"},
  "AccessToken":"` + hotelCredential + `","ApiKey" : "` + hotelCredential + `","CreatedUtc":"2026-01-01T00:00:00Z","IsEnabled":true,"Unknown":["` + hotelCredential + `",{"Deep":"` + hotelCredential + `"}]}}`)
	shown := func(b []byte) string {
		shown := maskRaw(b)
		if len(shown) != len(b) {
			return fmt.Sprintf("%d bytes became %d", len(b), len(shown))
		}
		for i := 0; i+8 <= len(hotelCredential); i++ {
			if bytes.Contains(shown, []byte(hotelCredential[i:i+8])) {
				return string(shown)
			}
		}
		return ""
	}
	if text := string(maskRaw(integration)); !strings.Contains(text, `{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"`+hotel+`"`) || !strings.Contains(text, `"IsEnabled":true`) {
		t.Errorf("what may be shown is hidden: %s", text)
	}
	const faults = "\"\\{}[]:,\n x\x00\xff"
	for at := range integration { // each single fault
		if text := shown(integration[:at]); text != "" {
			t.Fatalf("cut off at %d: %s", at, text)
		}
		if text := shown(slices.Delete(bytes.Clone(integration), at, at+1)); text != "" {
			t.Fatalf("without byte %d: %s", at, text)
		}
		for _, c := range []byte(faults) {
			if text := shown(slices.Insert(bytes.Clone(integration), at, c)); text != "" {
				t.Fatalf("with %q at %d: %s", c, at, text)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) { // several
		b := bytes.Clone(integration)
		for range rapid.IntRange(2, 6).Draw(rt, "faults") {
			at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
			if rapid.Bool().Draw(rt, "lost") && len(b) > 1 {
				b = slices.Delete(b, at, at+1)
			} else {
				b = slices.Insert(b, at, rapid.SampledFrom([]byte(faults)).Draw(rt, "extra"))
			}
		}
		if text := shown(b); text != "" {
			rt.Fatal(text)
		}
	})
}
