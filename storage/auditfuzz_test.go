package storage

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// FuzzAuditChain makes a chain of whatever is in the texts, and one change to it. A chain passes as it was made, and no other does.
func FuzzAuditChain(f *testing.F) {
	f.Add("user:alice|user.created|x|192.0.2.1|r|{\"a\":1}", uint8(4), uint8(0), uint8(0), "mallory")
	f.Add("||||", uint8(2), uint8(1), uint8(1), "")
	f.Add("a|b|c|d|e|f|g|h|i|j|k|l", uint8(9), uint8(7), uint8(5), "a")
	for edit := range uint8(16) {
		f.Add("a|bc|d|e|f|{}", uint8(5), edit, edit%5, "b")
	}
	key := []byte("a key that is known to the test..")
	org := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	f.Fuzz(func(t *testing.T, text string, count, edit, where uint8, with string) {
		parts := append(strings.Split(text, "|"), "", "", "", "", "")
		n := int(count%8) + 2
		chain := &auditChain{org: org, key: key, createdAt: at, unchained: int64(count)}
		chain.link = chain.linkOf(0, "")
		beginning := *chain
		written := make([]AuditEvent, n)
		for i := range written {
			part := func(k int) string { return parts[(i+k)%len(parts)] }
			address, details := part(3), part(5)
			e := &AuditEvent{
				Actor: part(0), Action: part(1), Target: part(2), IPAddress: &address, RequestID: part(4),
				Details: map[string]any{"text": details, "n": i}, CreatedAt: at.Add(time.Duration(i) * time.Second),
			}
			e, err := e.canonical(org)
			if err != nil {
				t.Fatal(err)
			}
			chain.append(e)
			written[i] = *e
		}
		passes := func(events []AuditEvent, end auditChain) bool {
			report := &AuditReport{}
			walk := &auditWalk{chain: &end, report: report}
			walk.begin(0, "")
			for i := range events {
				walk.see(&events[i])
			}
			walk.end()
			if !end.intact() {
				report.fault(AuditHead, 0, "")
			}
			return report.Found == 0
		}
		if !passes(slices.Clone(written), *chain) {
			t.Fatalf("a chain does not pass as it was made: %+v", written)
		}
		if !beginning.intact() || passes(nil, *chain) {
			t.Fatal("nothing passes for a chain")
		}

		events, end := slices.Clone(written), *chain
		at, next := int(where)%n, int(where+1)%n
		e := &events[at]
		switch edit % 16 {
		case 0:
			e.Actor = with
		case 1:
			e.Action = with
		case 2:
			e.Target = with
		case 3:
			e.RequestID = with
		case 4:
			e.IPAddress = &with
		case 5:
			e.IPAddress = nil
		case 6:
			e.RawDetails = &with
		case 7:
			e.RawDetails = nil
		case 8:
			e.CreatedAt = e.CreatedAt.Add(time.Duration(len(with)+1) * time.Nanosecond)
		case 9:
			e.MAC = with
		case 10: // a text that moves from one column to the next
			e.Actor, e.Action = e.Actor+e.Action, ""
		case 11:
			events[at], events[next] = events[next], events[at]
			events[at].Sequence, events[next].Sequence = events[next].Sequence, events[at].Sequence
		case 12:
			events = slices.Delete(events, at, at+1)
			for i := at; i < len(events) && len(with) > 0; i++ {
				events[i].Sequence--
			}
			if len(with) > 1 {
				end.sequence--
			}
		case 13:
			double := *e
			double.ID = uuid.New()
			events = slices.Insert(events, at, double)
			for i := at + 1; i < len(events) && len(with) > 0; i++ {
				events[i].Sequence++
			}
			if len(with) > 1 {
				end.sequence++
			}
		case 14: // the end is cut, and the row made to say so as well as can be
			events = events[:at]
			end.sequence, end.mac = int64(at), ""
			if at > 0 {
				end.mac = events[at-1].MAC
			}
			end.link = with
		case 15:
			e.ID[int(count)%16] ^= byte(len(with)) | 1
		}
		if reflect.DeepEqual(events, written) && reflect.DeepEqual(end, *chain) {
			return
		}
		if passes(events, end) {
			t.Fatalf("change %d at %d with %q is not noticed:\n%+v\n%+v", edit%16, at, with, written, events)
		}
	})
}

func BenchmarkAuditChain(b *testing.B) {
	chain := &auditChain{org: uuid.New(), key: make([]byte, 32)}
	chain.link = chain.linkOf(0, "")
	event := &AuditEvent{
		Actor: "user:11111111-2222-4333-8444-555555555555", Action: "user.signed_in", Target: "11111111-2222-4333-8444-555555555555",
		RequestID: "01JD0000000000000000000000", Details: map[string]any{"amr": []string{"pwd", "otp"}, "client_id": "app"},
	}
	b.ReportAllocs()
	for b.Loop() {
		e, err := event.canonical(chain.org)
		if err != nil {
			b.Fatal(err)
		}
		chain.append(e)
	}
}
