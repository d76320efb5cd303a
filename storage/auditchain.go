package storage

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/migrations"
)

// The events of an organization are a chain. Each carries its number and a MAC, over all that stands in its row and over a link to
// the event before, which is a MAC as well and stands nowhere but in the row of the chain, for the last event only. Both are made
// with a key of the chain, which is sealed under the master key. So whoever may write to the database, and to all of it, can make
// no event that passes, nor take one away but the last ones: the link to what would be last then is gone. Whoever kept a copy of the
// chain's row from that time has it; that shows against a checkpoint, of which one was kept elsewhere.

// Kinds of MACs.
const (
	macOfBeginning  = "keizer audit beginning"
	macOfEvent      = "keizer audit event"
	macOfLink       = "keizer audit link"
	macOfCheckpoint = "keizer audit checkpoint"
	macOfEnd        = "keizer audit end"
)

// auditMAC is HMAC-SHA-256 over a list of texts, each preceded by its length, so that no two lists are the same bytes.
func auditMAC(key []byte, kind string, parts ...string) string {
	h := hmac.New(sha256.New, key)
	var size [8]byte
	write := func(text string) {
		binary.BigEndian.PutUint64(size[:], uint64(len(text)))
		h.Write(size[:])
		h.Write([]byte(text))
	}
	write(kind)
	for _, part := range parts {
		write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// auditTime is how a time is written into a MAC.
func auditTime(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// perhaps tells a text apart from there being none.
func perhaps(text *string) string {
	if text == nil {
		return "-"
	}
	return "+" + *text
}

// canonical returns the event as it will be read again, on both databases.
func (e *AuditEvent) canonical(org uuid.UUID) (*AuditEvent, error) {
	c := *e
	if err := c.own(org); err != nil {
		return nil, err
	}
	identify(&c.ID)
	date(&c.CreatedAt, now())
	c.IPAddress = address(c.IPAddress)
	for _, text := range []*string{&c.Actor, &c.Action, &c.Target, &c.RequestID} {
		*text = storable(*text)
	}
	c.RawDetails = nil
	if c.Details != nil {
		text, err := canonicalDetails(c.Details)
		if err != nil {
			return nil, fmt.Errorf("details: %w", err)
		}
		c.RawDetails = &text
	}
	return &c, nil
}

// rewriteDetails makes of the text that a column of type jsonb gives, which is its own, the canonical one. On SQLite the text is as it
// was written, or it was altered.
func (e *AuditEvent) rewriteDetails() {
	if e.RawDetails == nil {
		return
	}
	if read, err := readJSON(*e.RawDetails); err == nil {
		if text, err := writeJSON(read); err == nil {
			e.RawDetails = &text
		}
	}
}

// readDetails reads the text of the details. If that is no object we have not written it, and it is left to whoever verifies the chain.
func (e *AuditEvent) readDetails() {
	if e.RawDetails != nil && json.Unmarshal([]byte(*e.RawDetails), &e.Details) != nil {
		e.Details = nil
	}
}

// storable replaces what PostgreSQL takes for no text.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}

// canonicalDetails is the one text for an object. A column of type jsonb keeps a text of its own for what it was given, which says the
// same of members, strings, and numbers without an exponent.
func canonicalDetails(details map[string]any) (string, error) {
	text, err := json.Marshal(details)
	if err != nil {
		return "", err
	}
	read, err := readJSON(string(text))
	if err != nil {
		return "", err
	}
	return writeJSON(plainJSON(read))
}

// readJSON reads JSON without losing a digit.
func readJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var read any
	err := decoder.Decode(&read)
	return read, err
}

// writeJSON writes what readJSON has read: members in the order of their names, no space between them.
func writeJSON(value any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSuffix(out.String(), "\n"), err
}

// plainJSON makes of a value one that a column of type jsonb gives back as it got it.
func plainJSON(value any) any {
	switch v := value.(type) {
	case string:
		return storable(v)
	case json.Number:
		f, err := v.Float64()
		switch {
		case err != nil || !strings.ContainsAny(v.String(), "eE") && f != 0:
			return v
		case f == 0: // and not the negative one
			return json.Number("0")
		}
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	case []any:
		for i := range v {
			v[i] = plainJSON(v[i])
		}
	case map[string]any:
		for name, member := range v {
			delete(v, name)
			v[storable(name)] = plainJSON(member)
		}
	}
	return value
}

// sign is the MAC of the event, if the one before it has the link.
func (e *AuditEvent) sign(key []byte, link string) string {
	return auditMAC(key, macOfEvent, link, e.OrgID.String(), strconv.FormatInt(e.Sequence, 10), e.ID.String(), e.Actor, e.Action, e.Target,
		perhaps(e.IPAddress), e.RequestID, perhaps(e.RawDetails), auditTime(e.CreatedAt))
}

// auditChain is the row of a chain: its last event, and what the next one is linked to.
type auditChain struct {
	org      uuid.UUID
	sequence int64
	mac      string
	link     string
	// key makes the MACs, and sealed is what the row holds of it.
	key, sealed []byte
	// unchained is how many events there were before the chain began.
	unchained int64
	createdAt time.Time
	// checked is the event of the last checkpoint, and checkedAt its time.
	checked   int64
	checkedAt time.Time
}

// linkOf is what an event is linked to whose predecessor is the one with this number and MAC.
func (c *auditChain) linkOf(sequence int64, mac string) string {
	if sequence == 0 {
		return auditMAC(c.key, macOfBeginning, c.org.String(), strconv.FormatInt(c.unchained, 10), auditTime(c.createdAt))
	}
	return auditMAC(c.key, macOfLink, c.org.String(), strconv.FormatInt(sequence, 10), mac)
}

// intact reports whether the row is as it was written.
func (c *auditChain) intact() bool {
	return hmac.Equal([]byte(c.link), []byte(c.linkOf(c.sequence, c.mac)))
}

func (c *auditChain) append(e *AuditEvent) {
	c.sequence++
	e.Sequence = c.sequence
	e.MAC = e.sign(c.key, c.link)
	c.mac, c.link = e.MAC, c.linkOf(e.Sequence, e.MAC)
}

const tampered = "an audit chain was tampered with: verify it"

// auditKeyCell is where the key of an organization's chain is sealed.
func auditKeyCell(ring *seal.Keyring, org uuid.UUID) cell {
	return cell{ring, []string{org.String(), "audit_chains", "sealed_key", org.String()}}
}

// errChainKey: the key of a chain does not open.
var errChainKey = errors.New("the key of the audit chain does not open")

// auditChain reads the chain of the organization; sql.ErrNoRows if it has none yet. One that is read for appending to it grows by
// nobody else until the transaction ends: on PostgreSQL its row is locked, and SQLite has one writer at a time.
func (q *query) auditChain(p purpose) (*auditChain, error) {
	lock := ""
	if p == writing && q.db.dialect == migrations.Postgres {
		lock = " FOR UPDATE"
	}
	c := &auditChain{org: q.org}
	err := q.row(`SELECT sequence, mac, link, sealed_key, unchained, created_at, checked_sequence, checked_at
		FROM audit_chains WHERE org_id = $1`+lock, q.org).
		Scan(&c.sequence, &c.mac, &c.link, &c.sealed, &c.unchained, &c.createdAt, &c.checked, &c.checkedAt)
	if err != nil {
		return nil, err
	}
	if c.key, err = auditKeyCell(q.db.ring, q.org).open(c.sealed); err != nil {
		return c, fmt.Errorf("%w: %w", errChainKey, err)
	}
	return c, nil
}

// beginAuditChain makes the row of the organization's chain, unless somebody else does at the same time.
func (q *query) beginAuditChain() error {
	c := &auditChain{org: q.org, key: make([]byte, sha256.Size), createdAt: q.now}
	rand.Read(c.key)
	if err := q.row(`SELECT count(*) FROM audit_events WHERE org_id = $1 AND sequence <= 0`, q.org).Scan(&c.unchained); err != nil {
		return err
	}
	var err error
	if c.sealed, err = auditKeyCell(q.db.ring, q.org).seal(c.key); err != nil {
		return err
	}
	_, err = q.exec(`INSERT INTO audit_chains (org_id, sequence, mac, link, sealed_key, unchained, checked_sequence, checked_at, created_at)
		VALUES ($1, 0, '', $2, $3, $4, 0, $5, $5) ON CONFLICT DO NOTHING`, q.org, c.linkOf(0, ""), c.sealed, c.unchained, q.now)
	return err
}

// lockAuditChain returns the organization's chain for appending to it.
func (q *query) lockAuditChain() (*auditChain, error) {
	c, err := q.auditChain(writing)
	if errors.Is(err, sql.ErrNoRows) {
		if err := q.beginAuditChain(); err != nil {
			return nil, err
		}
		c, err = q.auditChain(writing)
	}
	return c, err
}

// writeAudit writes what was appended in a transaction, just before it is committed. The chains are taken last and in the order
// of their organizations, so nobody who holds one waits for anything but another that comes after it.
func (db *DB) writeAudit(ctx context.Context, t *transaction) error {
	events := t.audit
	t.audit = nil
	slices.SortStableFunc(events, func(a, b *AuditEvent) int { return bytes.Compare(a.OrgID[:], b.OrgID[:]) })
	for len(events) > 0 {
		org := events[0].OrgID
		n := 1
		for n < len(events) && events[n].OrgID == org {
			n++
		}
		err := db.scoped(tenant.With(ctx, &tenant.Org{ID: org}), writing, "append audit events", func(q *query) error {
			return q.appendAudit(events[:n])
		})
		if err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// appendAudit writes events to the chain of the organization.
func (q *query) appendAudit(events []*AuditEvent) error {
	chain, err := q.lockAuditChain()
	if err != nil {
		return err
	}
	if !chain.intact() {
		// It goes on, for nobody is served by an organization where nothing can be done any more. What is appended to a row that was
		// forged is linked to the forgery, and does not pass.
		q.db.log.ErrorContext(q.ctx, tampered, "org_id", q.org, "sequence", chain.sequence)
	}
	for _, e := range events {
		chain.append(e)
	}
	const most = 100 // rows of a statement
	for len(events) > most {
		insert, args := q.insertAudit(events[:most])
		if _, err := q.exec(insert, args...); err != nil {
			return err
		}
		events = events[most:]
	}
	insert, args := q.insertAudit(events)
	end := []any{chain.sequence, chain.mac, chain.link, q.org}
	update := func(n int) string {
		return fmt.Sprintf(`UPDATE audit_chains SET sequence = $%d, mac = $%d, link = $%d WHERE org_id = $%d`, n+1, n+2, n+3, n+4)
	}
	if q.db.dialect == migrations.Postgres { // both on one way there and back, for others wait for the chain
		_, err = q.exec("WITH written AS ("+insert+") "+update(len(args)), append(args, end...)...)
		return err
	}
	if _, err := q.exec(insert, args...); err != nil {
		return err
	}
	_, err = q.exec(update(0), end...)
	return err
}

// insertAudit is the statement that inserts events.
func (q *query) insertAudit(events []*AuditEvent) (statement string, args []any) {
	const columns = 11
	var rows strings.Builder
	rows.WriteString(`INSERT INTO audit_events (id, org_id, actor, action, target, ip_address, request_id, details, created_at, sequence, mac) VALUES `)
	for i, e := range events {
		if i > 0 {
			rows.WriteString(", ")
		}
		place := func(column int) string { return "$" + strconv.Itoa(i*columns+column) }
		rows.WriteString("(" + place(1))
		for column := 2; column <= columns; column++ {
			rows.WriteString(", ")
			if column == 8 {
				rows.WriteString(q.db.jsonb(place(column)))
				continue
			}
			rows.WriteString(place(column))
		}
		rows.WriteString(")")
		args = append(args, e.ID, e.OrgID, e.Actor, e.Action, e.Target, deref(e.IPAddress), e.RequestID, deref(e.RawDetails), e.CreatedAt,
			e.Sequence, e.MAC)
	}
	return rows.String(), args
}
