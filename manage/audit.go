package manage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// AuditLine is an event of the audit as a file holds it.
type AuditLine struct {
	Sequence     int64           `json:"sequence"`
	ID           uuid.UUID       `json:"id"`
	Organization string          `json:"organization"`
	CreatedAt    time.Time       `json:"created_at"`
	Actor        string          `json:"actor"`
	Action       string          `json:"action"`
	Target       string          `json:"target"`
	IPAddress    *string         `json:"ip_address"`
	RequestID    string          `json:"request_id"`
	Details      json.RawMessage `json:"details"`
	MAC          string          `json:"mac"`
}

// AuditLineOf is an event of an organization, as its slug says.
func AuditLineOf(event *storage.AuditEvent, slug string) AuditLine {
	line := AuditLine{
		Sequence: event.Sequence, ID: event.ID, Organization: slug, CreatedAt: event.CreatedAt.UTC(), Actor: event.Actor, Action: event.Action,
		Target: event.Target, IPAddress: event.IPAddress, RequestID: event.RequestID, MAC: event.MAC,
	}
	if event.RawDetails != nil && json.Valid([]byte(*event.RawDetails)) { // else it was altered, and the line would be no JSON
		line.Details = json.RawMessage(*event.RawDetails)
	}
	return line
}

func (l *AuditLine) event() *storage.AuditEvent {
	event := &storage.AuditEvent{
		Sequence: l.Sequence, ID: l.ID, CreatedAt: l.CreatedAt, Actor: l.Actor, Action: l.Action, Target: l.Target, IPAddress: l.IPAddress,
		RequestID: l.RequestID, MAC: l.MAC,
	}
	if details := string(l.Details); len(details) > 0 && details != "null" {
		event.RawDetails = &details
	}
	return event
}

// auditHead is the first line of a whole audit: what its events are verified by.
type auditHead struct {
	Chain *auditChainLine `json:"chain"`
}

type auditChainLine struct {
	OrgID        uuid.UUID `json:"org_id"`
	Organization string    `json:"organization"`
	Sequence     int64     `json:"sequence"`
	MAC          string    `json:"mac"`
	ExportedAt   time.Time `json:"exported_at"`
	Signature    string    `json:"signature"`
	SealedKey    []byte    `json:"sealed_key"`
	Unchained    int64     `json:"unchained"`
	BeganAt      time.Time `json:"began_at"`
}

// auditPage is how many events are in memory at once.
const auditPage = 1000

// ExportAudit writes the events of the organization that a filter lets through, the oldest first, one JSON object a line, and returns
// how many there were. If it lets through all, the chain stands before them, by which VerifyAuditFile verifies them.
func (o *Operators) ExportAudit(ctx context.Context, w io.Writer, filter storage.AuditFilter) (n int, err error) {
	for from := (*AuditPlace)(nil); ; {
		written, next, err := o.ExportAuditPart(ctx, w, filter, from, auditPage)
		n += written
		if err != nil || next == nil {
			return n, err
		}
		from = next
	}
}

// AuditPlace is where an export that is taken in parts goes on.
type AuditPlace struct {
	// The last event that was written.
	Sequence  int64     `json:"sequence"`
	CreatedAt time.Time `json:"created_at"`
	ID        uuid.UUID `json:"id"`
	// Whole says that nothing is left out, and End where the chain ended when the export began.
	Whole bool  `json:"whole"`
	End   int64 `json:"end"`
}

// ExportAuditPart writes a part of what ExportAudit writes: as many events at the most, from the beginning if from is nil. It returns
// where the next part begins, nil when nothing is left.
func (o *Operators) ExportAuditPart(
	ctx context.Context, w io.Writer, filter storage.AuditFilter, from *AuditPlace, most int,
) (n int, next *AuditPlace, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return 0, nil, err
	}
	out := bufio.NewWriter(w)
	write := auditWriter(out)
	if from == nil {
		from = &AuditPlace{Whole: filter == storage.AuditFilter{}}
		if from.Whole {
			switch chain, err := o.db.AuditChain(ctx); {
			case errors.Is(err, storage.ErrNotFound):
				from.Whole = false // there is nothing yet, or nothing that is chained
			case err != nil:
				return 0, nil, fmt.Errorf("export audit: %w", err)
			default:
				from.End = chain.Last.Sequence
				if err := write(auditHead{&auditChainLine{
					OrgID: chain.Last.OrgID, Organization: org.Slug, Sequence: from.End, MAC: chain.Last.MAC, ExportedAt: chain.Last.CreatedAt.UTC(),
					Signature: chain.Signature, SealedKey: chain.SealedKey, Unchained: chain.Unchained, BeganAt: chain.BeganAt,
				}}); err != nil {
					return 0, nil, err
				}
			}
		}
	} else {
		filter.After = &storage.AuditEvent{Sequence: from.Sequence, CreatedAt: from.CreatedAt, ID: from.ID}
	}
	filter.OldestFirst, filter.Limit = true, most
	events, err := o.db.ListAudit(ctx, filter)
	if err != nil {
		return 0, nil, fmt.Errorf("export audit: %w", err)
	}
	for i := range events {
		if from.Whole && events[i].Sequence > from.End { // appended since
			return n, nil, out.Flush()
		}
		if err := write(AuditLineOf(&events[i], org.Slug)); err != nil {
			return n, nil, fmt.Errorf("export audit: %w", err)
		}
		n++
	}
	if len(events) == most {
		last := &events[most-1]
		next = &AuditPlace{last.Sequence, last.CreatedAt, last.ID, from.Whole, from.End}
	}
	return n, next, out.Flush()
}

func auditWriter(w io.Writer) func(value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode
}

// VerifyAuditFile verifies a whole audit that ExportAudit has written, and returns the slug of its organization. What stands in the file
// must be what was written, byte by byte. An error is that the file is none.
func VerifyAuditFile(ring *seal.Keyring, r io.Reader) (slug string, report *storage.AuditReport, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var head auditHead
	if err := readAuditLine(lines, &head); err != nil {
		return "", nil, fmt.Errorf("line 1: %w", err)
	}
	if head.Chain == nil {
		return "", nil, errors.New("line 1: it is not where a chain begins: an export that leaves events out cannot be verified")
	}
	c := head.Chain
	chain := &storage.AuditChain{
		Last:      storage.AuditCheckpoint{Sequence: c.Sequence, MAC: c.MAC, OrgID: c.OrgID, Slug: c.Organization, CreatedAt: c.ExportedAt},
		Signature: c.Signature, SealedKey: c.SealedKey, Unchained: c.Unchained, BeganAt: c.BeganAt,
	}
	trail := chain.Trail(ring)
	for number := 2; ; number++ {
		var line AuditLine
		switch err := readAuditLine(lines, &line); {
		case errors.Is(err, io.EOF):
			return c.Organization, trail.End(), nil
		case err != nil:
			return c.Organization, nil, fmt.Errorf("line %d: %w", number, err)
		}
		if line.Organization != c.Organization {
			return c.Organization, nil, fmt.Errorf("line %d: it is of another organization", number)
		}
		trail.See(line.event())
	}
}

// readAuditLine reads a line that auditWriter has written. One that says the same in another way is none, for others may read it
// differently.
func readAuditLine[T any](from *bufio.Reader, into *T) error {
	text, err := from.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(text) > 0:
		return errors.New("the file ends in the middle of it")
	case err != nil:
		return err
	}
	var again bytes.Buffer
	if json.Unmarshal(text, into) != nil || auditWriter(&again)(*into) != nil || !bytes.Equal(text, again.Bytes()) {
		return errors.New("it is not as it was written")
	}
	return nil
}

// PurgeAudit deletes the audit of an organization that was deleted, and so the last that there is of it. That it was done is written down in
// the organization of the context, before anything is gone. One of which not everything else is gone yet is a Conflict.
func (o *Operators) PurgeAudit(ctx context.Context, org *storage.Organization) (purged int64, err error) {
	if org.DeletedAt == nil || org.ErasedAt == nil {
		return 0, &Conflict{Field: "organization", Message: "it is not deleted, or what it had is being erased still: try again in some minutes"}
	}
	details := map[string]any{"org_id": org.ID.String(), "deleted_at": timeOrNil(org.DeletedAt)}
	switch chain, err := o.db.AuditChain(within(ctx, org)); {
	case err == nil:
		details["last"] = chain.Last.String()
	case !errors.Is(err, storage.ErrNotFound):
		details["last"] = "unknown" // its key does not open; it is to go all the same
	}
	if err := o.audit(ctx, "audit.purged", org.FormerSlug(), details); err != nil {
		return 0, err
	}
	if purged, err = o.db.PurgeAudit(ctx, org.ID, 0); err != nil {
		return purged, during("purge audit", err)
	}
	return purged, nil
}
