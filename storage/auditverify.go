package storage

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
)

// AuditCheckpoint says that the event of a number had a MAC. One that is kept where the database cannot be written from shows whether
// the chain was set back since.
type AuditCheckpoint struct {
	Sequence int64
	MAC      string
	// OrgID, Slug and CreatedAt are where and when it was made; not part of its text.
	OrgID     uuid.UUID
	Slug      string
	CreatedAt time.Time
}

func (c AuditCheckpoint) String() string { return strconv.FormatInt(c.Sequence, 10) + ":" + c.MAC }

// ParseAuditCheckpoint reads the text of a checkpoint.
func ParseAuditCheckpoint(text string) (*AuditCheckpoint, error) {
	number, mac, ok := strings.Cut(text, ":")
	sequence, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || sequence <= 0 || len(mac) != auditMACLength {
		return nil, errors.New("a checkpoint is the number of an event, a colon and its MAC")
	}
	return &AuditCheckpoint{Sequence: sequence, MAC: mac}, nil
}

// auditMACLength is that of 32 bytes in base64url.
const auditMACLength = 43

// What can be wrong with a chain.
const (
	AuditAltered    = "altered"    // an event is not as it was written, or not where it was
	AuditMissing    = "missing"    // events are not there
	AuditDoubled    = "doubled"    // two events have one number
	AuditCut        = "cut"        // the last events are not there
	AuditBeyond     = "beyond"     // there are events after the last
	AuditHead       = "head"       // the row of the chain was altered, or is not there
	AuditKey        = "key"        // the key of the chain does not open
	AuditOutside    = "outside"    // there are other events outside of the chain than there were
	AuditContradict = "checkpoint" // a checkpoint says something else
)

// AuditFault is one thing that is wrong with a chain.
type AuditFault struct {
	Fault    string `json:"fault"`
	Sequence int64  `json:"sequence,omitempty"`
	Message  string `json:"message"`
}

// maxAuditFaults is how many faults a report names; all are counted.
const maxAuditFaults = 100

// AuditReport is what came of verifying a chain.
type AuditReport struct {
	// Last is the event that the chain ends with; its Sequence is 0 if there is none.
	Last AuditCheckpoint
	// BeganAt is when the chain began; nil if it has not.
	BeganAt *time.Time
	// Verified is how many events were looked at, Unchained how many stand outside of the chain.
	Verified, Unchained int64
	// Checkpoints is how many were compared.
	Checkpoints int64
	// Faults are the first that were found, and Found is how many there were.
	Faults []AuditFault
	Found  int64
}

func (r *AuditReport) fault(fault string, sequence int64, format string, args ...any) {
	if r.Found++; len(r.Faults) < maxAuditFaults {
		r.Faults = append(r.Faults, AuditFault{fault, sequence, fmt.Sprintf(format, args...)})
	}
}

// auditWalk goes along a chain, event by event.
type auditWalk struct {
	chain  *auditChain
	report *AuditReport
	// sequence and mac are those of the last event, and link what the next one is linked to; empty if that cannot be known.
	sequence  int64
	mac, link string
}

// begin starts behind an event; 0 is the beginning.
func (w *auditWalk) begin(sequence int64, mac string) {
	w.sequence, w.mac, w.link = sequence, mac, w.chain.linkOf(sequence, mac)
}

func (w *auditWalk) see(e *AuditEvent) {
	w.report.Verified++
	switch {
	case e.Sequence <= w.sequence:
		w.report.fault(AuditDoubled, e.Sequence, "there is another event %d, or it comes out of turn (%s)", e.Sequence, e.ID)
		return
	case e.Sequence > w.sequence+1:
		w.report.fault(AuditMissing, w.sequence+1, "%s missing", events(w.sequence+1, e.Sequence-1))
		w.link = "" // it was linked to the one before it, of which nothing is known
	}
	if w.link != "" && !hmac.Equal([]byte(e.MAC), []byte(e.sign(w.chain.key, w.link))) {
		w.report.fault(AuditAltered, e.Sequence, "event %d is not as it was written, or does not follow the one before it (%s)", e.Sequence, e.ID)
	}
	w.begin(e.Sequence, e.MAC)
}

// end compares the last event with where the chain is said to end.
func (w *auditWalk) end() {
	switch last := w.chain.sequence; {
	case w.sequence < last:
		w.report.fault(AuditCut, w.sequence+1, "%s missing at the end", events(w.sequence+1, last))
	case w.sequence > last:
		w.report.fault(AuditBeyond, last+1, "there are events after %d, with which the chain ends", last)
	case w.mac != w.chain.mac:
		w.report.fault(AuditHead, last, "the chain ends with another event %d", last)
	}
}

func events(from, to int64) string {
	if from == to {
		return fmt.Sprintf("event %d is", from)
	}
	return fmt.Sprintf("events %d to %d are", from, to)
}

// AuditVerification says how a chain is verified.
type AuditVerification struct {
	// Kept is a checkpoint that was kept elsewhere: the chain must go through it.
	Kept *AuditCheckpoint
	// SinceKept looks at what comes after Kept only.
	SinceKept bool
}

// VerifyAudit goes through the chain of the organization from its beginning to its end, and reports whatever is not as it was written.
// An error is that it could not.
func (db *DB) VerifyAudit(ctx context.Context, v AuditVerification) (*AuditReport, error) {
	report := &AuditReport{}
	var chain *auditChain
	unopened := false
	err := db.scoped(ctx, reading, "read audit chain", func(q *query) (err error) {
		unopened = false
		if chain, err = q.auditChain(reading); errors.Is(err, errChainKey) {
			unopened, err = true, nil
		}
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return report, db.verifyNoChain(ctx, v, report)
	case err != nil:
		return nil, err
	case unopened:
		report.fault(AuditKey, 0, "the key of the chain does not open: it was altered, or its master key is not among those of the configuration")
		return report, nil
	}
	began := chain.createdAt.UTC()
	report.BeganAt = &began
	report.Last = AuditCheckpoint{Sequence: chain.sequence, MAC: chain.mac, OrgID: chain.org}
	if !chain.intact() {
		report.fault(AuditHead, chain.sequence, "where the chain ends is not as it was written: it was cut, or its row was altered")
	}

	if chain.checked > chain.sequence {
		report.fault(AuditHead, chain.checked, "the last checkpoint was made at event %d, and the chain ends with %d", chain.checked, chain.sequence)
	}
	walk := &auditWalk{chain: chain, report: report}
	walk.begin(0, "")
	if v.Kept != nil && v.SinceKept {
		walk.begin(v.Kept.Sequence, v.Kept.MAC)
	}
	if walk.sequence <= chain.sequence { // else it is told of the checkpoint
		if err := db.walkAudit(ctx, walk); err != nil {
			return nil, err
		}
		walk.end()
	}
	if err := db.verifyAuditAround(ctx, chain, report); err != nil {
		return nil, err
	}
	if err := db.verifyCheckpoints(ctx, chain, v, report); err != nil {
		return nil, err
	}
	return report, nil
}

// walkAudit has a walk see the events that stand in the chain.
func (db *DB) walkAudit(ctx context.Context, walk *auditWalk) error {
	const page = 1000
	sequence, id := walk.sequence, uuid.Max
	for {
		var found []AuditEvent
		err := db.scoped(ctx, reading, "read audit events", func(q *query) (err error) {
			found, err = q.auditEvents(fmt.Sprintf(` AND (sequence > $2 OR sequence = $2 AND id > $3) AND sequence > 0 AND sequence <= $4
				ORDER BY sequence, id LIMIT %d`, page), sequence, id, walk.chain.sequence)
			return err
		})
		if err != nil {
			return err
		}
		for i := range found {
			walk.see(&found[i])
		}
		if len(found) < page {
			return nil
		}
		sequence, id = found[page-1].Sequence, found[page-1].ID
	}
}

// verifyNoChain looks at an organization that has no chain.
func (db *DB) verifyNoChain(ctx context.Context, v AuditVerification, report *AuditReport) error {
	var chained int64
	err := db.scoped(ctx, reading, "count audit events", func(q *query) error {
		return q.row(`SELECT count(CASE WHEN sequence <= 0 THEN 1 END), count(CASE WHEN sequence > 0 THEN 1 END) FROM audit_events WHERE org_id = $1`, q.org).
			Scan(&report.Unchained, &chained)
	})
	if chained > 0 {
		report.fault(AuditHead, 0, "the row of the chain is missing, of which there are %d events", chained)
	}
	if v.Kept != nil {
		report.fault(AuditContradict, v.Kept.Sequence, "there is no chain, and event %d was in it", v.Kept.Sequence)
	}
	return err
}

// verifyAuditAround looks at the events that stand before and after a chain.
func (db *DB) verifyAuditAround(ctx context.Context, chain *auditChain, report *AuditReport) error {
	var since, beyond int64
	err := db.scoped(ctx, reading, "count audit events", func(q *query) error {
		err := q.row(`SELECT count(*), count(CASE WHEN created_at >= $2 THEN 1 END) FROM audit_events WHERE org_id = $1 AND sequence <= 0`, q.org, chain.createdAt).
			Scan(&report.Unchained, &since)
		if err != nil {
			return err
		}
		// Both in one statement: it may grow meanwhile.
		return q.row(`SELECT count(*) FROM audit_events WHERE org_id = $1 AND sequence > (SELECT sequence FROM audit_chains WHERE org_id = $1)`, q.org).Scan(&beyond)
	})
	if since > 0 || report.Unchained != chain.unchained {
		report.fault(AuditOutside, 0, "%d events stand outside of the chain, %d of them from after it began; when it began there were %d",
			report.Unchained, since, chain.unchained)
	}
	if beyond > 0 {
		report.fault(AuditBeyond, chain.sequence+1, "%d events stand after the end of the chain", beyond)
	}
	return err
}

// verifyCheckpoints compares the chain with the checkpoints that are left in the database, and with one that was kept.
func (db *DB) verifyCheckpoints(ctx context.Context, chain *auditChain, v AuditVerification, report *AuditReport) error {
	type checkpoint struct {
		AuditCheckpoint
		signature string
		found     *string
	}
	const page = 1000
	for after := int64(0); ; {
		var checkpoints []checkpoint
		err := db.scoped(ctx, reading, "read audit checkpoints", func(q *query) error {
			checkpoints = nil
			rows, err := q.pool.QueryContext(q.ctx, fmt.Sprintf(`SELECT c.sequence, c.mac, c.signature, c.created_at, min(e.mac) FROM audit_checkpoints c
				LEFT JOIN audit_events e ON e.org_id = c.org_id AND e.sequence = c.sequence
				WHERE c.org_id = $1 AND c.sequence > $2 GROUP BY c.sequence, c.mac, c.signature, c.created_at ORDER BY c.sequence LIMIT %d`, page), q.org, after)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				c := checkpoint{AuditCheckpoint: AuditCheckpoint{OrgID: q.org}}
				if err := rows.Scan(&c.Sequence, &c.MAC, &c.signature, &c.CreatedAt, &c.found); err != nil {
					return err
				}
				checkpoints = append(checkpoints, c)
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		for _, c := range checkpoints {
			report.Checkpoints++
			switch {
			case !hmac.Equal([]byte(c.signature), []byte(chain.sign(c.AuditCheckpoint))):
				report.fault(AuditContradict, c.Sequence, "the checkpoint at event %d was altered", c.Sequence)
			case c.found == nil || *c.found != c.MAC:
				report.fault(AuditContradict, c.Sequence, "a checkpoint from %s says that there was another event %d: the chain was set back and went on",
					auditTime(c.CreatedAt), c.Sequence)
			}
			after = c.Sequence
		}
		if len(checkpoints) < page {
			break
		}
	}
	if v.Kept == nil {
		return nil
	}
	var mac string
	err := db.scoped(ctx, reading, "read audit event", func(q *query) error {
		return q.row(`SELECT mac FROM audit_events WHERE org_id = $1 AND sequence = $2 ORDER BY id LIMIT 1`, q.org, v.Kept.Sequence).Scan(&mac)
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	report.Checkpoints++
	if mac != v.Kept.MAC {
		report.fault(AuditContradict, v.Kept.Sequence, "event %d is not the one that the checkpoint was made of", v.Kept.Sequence)
	}
	return nil
}

// AuditChain is what there is to know of a chain for verifying it without the database: whoever has the master key opens its key.
type AuditChain struct {
	// Last is the event that the chain ends with, and Signature a MAC of that, and of whose chain it is.
	Last      AuditCheckpoint
	Signature string
	SealedKey []byte
	Unchained int64
	BeganAt   time.Time
}

// AuditChain returns the chain of the organization as it is now; ErrNotFound if nothing was appended yet.
func (db *DB) AuditChain(ctx context.Context) (*AuditChain, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, fmt.Errorf("read audit chain: %w", err)
	}
	var a *AuditChain
	err = db.scoped(ctx, reading, "read audit chain", func(q *query) error {
		chain, err := q.auditChain(reading)
		if err != nil {
			return err
		}
		a = &AuditChain{
			Last:      AuditCheckpoint{Sequence: chain.sequence, MAC: chain.mac, OrgID: q.org, Slug: org.Slug, CreatedAt: q.now},
			SealedKey: chain.sealed, Unchained: chain.unchained, BeganAt: chain.createdAt.UTC(),
		}
		a.Signature = chain.signEnd(a.Last)
		return nil
	})
	return a, err
}

// AuditTrail verifies the events of a chain that were taken out of the database.
type AuditTrail struct {
	walk   auditWalk
	report AuditReport
}

// Trail begins to verify the events of a chain, under the master key that its own was sealed with.
func (a *AuditChain) Trail(ring *seal.Keyring) *AuditTrail {
	chain := &auditChain{
		org: a.Last.OrgID, sequence: a.Last.Sequence, mac: a.Last.MAC, unchained: a.Unchained, createdAt: a.BeganAt,
	}
	began := a.BeganAt
	t := &AuditTrail{report: AuditReport{Last: a.Last, BeganAt: &began, Checkpoints: 1}}
	t.walk.chain, t.walk.report = chain, &t.report
	var err error
	if chain.key, err = auditKeyCell(ring, chain.org).open(a.SealedKey); err != nil {
		t.report.fault(AuditKey, 0, "the key of the chain does not open: it was altered, or another master key has sealed it")
		return t
	}
	if !hmac.Equal([]byte(a.Signature), []byte(chain.signEnd(a.Last))) {
		t.report.fault(AuditHead, chain.sequence, "where the chain ends, or whose it is, is not as it was written")
	}
	t.walk.begin(0, "")
	return t
}

// See verifies the next event, of which RawDetails are what counts. Those outside of the chain are counted.
func (t *AuditTrail) See(e *AuditEvent) {
	switch {
	case t.walk.chain.key == nil:
	case e.Sequence <= 0:
		t.report.Unchained++
	default:
		e.OrgID = t.walk.chain.org
		t.walk.see(e)
	}
}

// End returns what came of it.
func (t *AuditTrail) End() *AuditReport {
	if t.walk.chain.key == nil {
		return &t.report
	}
	t.walk.end()
	if t.report.Unchained != t.walk.chain.unchained {
		t.report.fault(AuditOutside, 0, "%d events stand outside of the chain; when it began there were %d", t.report.Unchained, t.walk.chain.unchained)
	}
	return &t.report
}

// sign is the signature of a checkpoint.
func (c *auditChain) sign(at AuditCheckpoint) string {
	return auditMAC(c.key, macOfCheckpoint, c.org.String(), strconv.FormatInt(at.Sequence, 10), at.MAC, auditTime(at.CreatedAt))
}

// due reports whether it is time for another checkpoint.
func (c *auditChain) due(events int64, before time.Time) bool {
	return c.sequence > c.checked && (c.sequence >= c.checked+events || !c.checkedAt.After(before))
}

// signEnd is the signature of the end of a chain that leaves the database.
func (c *auditChain) signEnd(at AuditCheckpoint) string {
	return auditMAC(c.key, macOfEnd, c.org.String(), at.Slug, strconv.FormatInt(at.Sequence, 10), at.MAC, auditTime(at.CreatedAt))
}

// CheckpointAudits writes a checkpoint for each chain that has grown by a number of events since its last one, or has grown at all and
// had none for some time, and returns them. Of replicas that do it at once one makes each. A chain of which none can be made keeps no
// other from it.
func (db *DB) CheckpointAudits(ctx context.Context, events int64, age time.Duration) (made []AuditCheckpoint, err error) {
	const most = 1000 // at a time
	var chains []AuditCheckpoint
	err = db.everywhere(ctx, reading, "list audit chains", func(q *query) error {
		chains = nil
		rows, err := q.pool.QueryContext(q.ctx, fmt.Sprintf(`SELECT c.org_id, o.slug FROM audit_chains c JOIN organizations o ON o.id = c.org_id
			WHERE c.sequence > c.checked_sequence AND (c.sequence - c.checked_sequence >= $1 OR c.checked_at <= $2)
			ORDER BY c.checked_at LIMIT %d`, most), events, q.now.Add(-age))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c AuditCheckpoint
			if err := rows.Scan(&c.OrgID, &c.Slug); err != nil {
				return err
			}
			chains = append(chains, c)
		}
		return rows.Err()
	})
	var failed []error
	for _, c := range chains {
		checkpoint, err := db.checkpointAudit(tenant.With(ctx, &tenant.Org{ID: c.OrgID, Slug: c.Slug}), events, age)
		switch {
		case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled):
			return made, err
		case err != nil:
			failed = append(failed, fmt.Errorf("organization %s: %w", c.Slug, err))
		case checkpoint != nil:
			checkpoint.Slug = c.Slug
			made = append(made, *checkpoint)
		}
	}
	return made, errors.Join(append(failed, err)...)
}

// checkpointAudit writes a checkpoint of the organization's chain, if it is still due.
func (db *DB) checkpointAudit(ctx context.Context, events int64, age time.Duration) (made *AuditCheckpoint, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "write audit checkpoint", func(q *query) error {
			made = nil
			chain, err := q.auditChain(writing)
			if err != nil || !chain.due(events, q.now.Add(-age)) {
				return err
			}
			if !chain.intact() {
				return errors.New(tampered)
			}
			c := AuditCheckpoint{Sequence: chain.sequence, MAC: chain.mac, OrgID: q.org, CreatedAt: q.now}
			if _, err := q.exec(`INSERT INTO audit_checkpoints (org_id, sequence, mac, signature, created_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT DO NOTHING`, q.org, c.Sequence, c.MAC, chain.sign(c), c.CreatedAt); err != nil {
				return err
			}
			made = &c
			_, err = q.exec(`UPDATE audit_chains SET checked_sequence = $1, checked_at = $2 WHERE org_id = $3`, c.Sequence, c.CreatedAt, q.org)
			return err
		})
	})
	return made, err
}
