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

// auditLink is an event with its details to the letter, as it stands in a row.
type auditLink struct {
	AuditEvent
	details *string
}

// newAuditLink makes of an event what can be written, and read again as it was, on both databases.
func newAuditLink(event *AuditEvent, org uuid.UUID) (*auditLink, error) {
	l := &auditLink{AuditEvent: *event}
	if err := l.own(org); err != nil {
		return nil, err
	}
	identify(&l.ID)
	date(&l.CreatedAt, now())
	l.IPAddress = address(l.IPAddress)
	for _, text := range []*string{&l.Actor, &l.Action, &l.Target, &l.RequestID} {
		*text = storable(*text)
	}
	if l.Details != nil {
		text, err := canonicalDetails(l.Details)
		if err != nil {
			return nil, fmt.Errorf("details: %w", err)
		}
		l.details = &text
	}
	return l, nil
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
	read, err := readDetails(string(text))
	if err != nil {
		return "", err
	}
	return writeDetails(plainJSON(read))
}

// readDetails reads JSON without losing a digit.
func readDetails(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var read any
	err := decoder.Decode(&read)
	return read, err
}

// writeDetails writes what readDetails has read: members in the order of their names, no space between them.
func writeDetails(value any) (string, error) {
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
func (l *auditLink) sign(key []byte, link string) string {
	return auditMAC(key, macOfEvent, link, l.OrgID.String(), strconv.FormatInt(l.Sequence, 10), l.ID.String(), l.Actor, l.Action, l.Target,
		perhaps(l.IPAddress), l.RequestID, perhaps(l.details), auditTime(l.CreatedAt))
}

// auditChain is the row of a chain: its last event, and what the next one is linked to.
type auditChain struct {
	org      uuid.UUID
	sequence int64
	mac      string
	link     string
	key      []byte
	// unchained is how many events there were before the chain began.
	unchained int64
	createdAt time.Time
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

func (c *auditChain) append(l *auditLink) {
	c.sequence++
	l.Sequence = c.sequence
	l.MAC = l.sign(c.key, c.link)
	c.mac, c.link = l.MAC, c.linkOf(l.Sequence, l.MAC)
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
	var sealed []byte
	err := q.row(`SELECT sequence, mac, link, sealed_key, unchained, created_at FROM audit_chains WHERE org_id = $1`+lock, q.org).
		Scan(&c.sequence, &c.mac, &c.link, &sealed, &c.unchained, &c.createdAt)
	if err != nil {
		return nil, err
	}
	if c.key, err = q.cell("audit_chains", "sealed_key", q.org.String()).open(sealed); err != nil {
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
	sealed, err := q.cell("audit_chains", "sealed_key", q.org.String()).seal(c.key)
	if err != nil {
		return err
	}
	_, err = q.exec(`INSERT INTO audit_chains (org_id, sequence, mac, link, sealed_key, unchained, checked_sequence, checked_at, created_at)
		VALUES ($1, 0, '', $2, $3, $4, 0, $5, $5) ON CONFLICT DO NOTHING`, q.org, c.linkOf(0, ""), sealed, c.unchained, q.now)
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
	links := t.audit
	t.audit = nil
	slices.SortStableFunc(links, func(a, b *auditLink) int { return bytes.Compare(a.OrgID[:], b.OrgID[:]) })
	for len(links) > 0 {
		org := links[0].OrgID
		n := 1
		for n < len(links) && links[n].OrgID == org {
			n++
		}
		err := db.scoped(tenant.With(ctx, &tenant.Org{ID: org}), writing, "append audit events", func(q *query) error {
			return q.appendAudit(links[:n])
		})
		if err != nil {
			return err
		}
		links = links[n:]
	}
	return nil
}

// appendAudit writes events to the chain of the organization.
func (q *query) appendAudit(links []*auditLink) error {
	chain, err := q.lockAuditChain()
	if err != nil {
		return err
	}
	if !chain.intact() {
		// It goes on, for nobody is served by an organization where nothing can be done. What is appended to a row that was forged
		// is linked to the forgery, and does not pass.
		q.db.log.ErrorContext(q.ctx, "an audit chain was tampered with: verify it", "org_id", q.org, "sequence", chain.sequence)
	}
	for _, l := range links {
		chain.append(l)
	}
	const most = 100 // rows of a statement
	for some := range slices.Chunk(links, most) {
		if err := q.insertAudit(some); err != nil {
			return err
		}
	}
	_, err = q.exec(`UPDATE audit_chains SET sequence = $1, mac = $2, link = $3 WHERE org_id = $4`, chain.sequence, chain.mac, chain.link, q.org)
	return err
}

func (q *query) insertAudit(links []*auditLink) error {
	const columns = 11
	var rows strings.Builder
	args := make([]any, 0, len(links)*columns)
	for i, l := range links {
		if i > 0 {
			rows.WriteString(", ")
		}
		place := func(column int) string { return "$" + strconv.Itoa(len(args)+column) }
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
		args = append(args, l.ID, l.OrgID, l.Actor, l.Action, l.Target, textOrNull(l.IPAddress), l.RequestID, textOrNull(l.details), l.CreatedAt,
			l.Sequence, l.MAC)
	}
	_, err := q.exec(`INSERT INTO audit_events (id, org_id, actor, action, target, ip_address, request_id, details, created_at, sequence, mac)
		VALUES `+rows.String(), args...)
	return err
}

// textOrNull is the column's value of a text that may not be there.
func textOrNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}
