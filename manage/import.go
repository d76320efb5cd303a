package manage

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/storage"
)

// What is done about a person who is there already, and of whom the file says something else.
const (
	ConflictFail   = "fail"   // it is an error
	ConflictSkip   = "skip"   // they stay as they are
	ConflictUpdate = "update" // they become what the file says
)

// ImportOptions say how people are imported.
type ImportOptions struct {
	// DryRun looks at everything and writes nothing.
	DryRun bool
	// OnConflict is one of the words above; empty is ConflictFail.
	OnConflict string
	// Complain is told what is wrong, line by line.
	Complain func(line int, complaint *Invalid)
}

// ImportSummary is what came of an import, or would have come of it.
type ImportSummary struct {
	DryRun    bool `json:"dry_run"`
	Created   int  `json:"created"`
	Updated   int  `json:"updated"`
	Unchanged int  `json:"unchanged"`
	Skipped   int  `json:"skipped"`
	Failed    int  `json:"failed"`
}

// importBatch is how many people are written in one transaction.
const importBatch = 200

// ImportUsers makes the people of a file, or those that are missing: what is there and as the file says is left alone, so that an
// import that was interrupted can be repeated. A person is known by id, where the file names one, else by e-mail address. Each is
// written as a whole or not at all. The password of somebody who has one is never replaced: they may have changed it since.
//
// The file may be of any length; what is kept of every line are a few numbers, by which a second one of the same name is found.
func (o *Operators) ImportUsers(ctx context.Context, from RecordReader, options ImportOptions) (ImportSummary, error) {
	i := &importing{
		operators: o, options: options, seed: maphash.MakeSeed(), seen: make(map[uint64]int), roles: make(map[string]uuid.UUID),
		summary: ImportSummary{DryRun: options.DryRun},
	}
	if i.options.OnConflict == "" {
		i.options.OnConflict = ConflictFail
	}
	if !slices.Contains([]string{ConflictFail, ConflictSkip, ConflictUpdate}, i.options.OnConflict) {
		return i.summary, &Invalid{Field: "on_conflict", Message: "it must be fail, skip or update"}
	}
	return i.summary, i.all(ctx, from)
}

// importing is one import.
type importing struct {
	operators *Operators
	options   ImportOptions
	summary   ImportSummary

	// seen is which line had an address, a name or an id, by a digest of it.
	seen map[uint64]int
	seed maphash.Seed
	// roles are those that the organization has.
	roles map[string]uuid.UUID
}

// newcomer is a line that is well-formed.
type newcomer struct {
	line   int
	record *Record
	// id is uuid.Nil where the file names none. email and username are canonical.
	id              uuid.UUID
	email, username string
	// hash is what the password is checked against, when that is known.
	hash string
}

func (i *importing) all(ctx context.Context, from RecordReader) error {
	for more := true; more; {
		var batch []*newcomer
		for more && len(batch) < importBatch {
			line, record, err := from.Next()
			var wrong *Invalid
			switch {
			case errors.Is(err, io.EOF):
				more = false
				continue
			case errors.As(err, &wrong) && wrong.Field == "file": // and nobody knows where it goes on
				i.fail(line, err)
				more = false
				continue
			case len(Complaints(err)) > 0:
				i.fail(line, err)
				continue
			case err != nil:
				return fmt.Errorf("read line %d: %w", line, err)
			}
			n := &newcomer{line: line, record: record}
			if err := i.check(ctx, n); err != nil {
				if len(Complaints(err)) == 0 {
					return err
				}
				i.fail(line, err)
				continue
			}
			batch = append(batch, n)
		}
		if err := i.write(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// fail counts a line that is not imported, and says why.
func (i *importing) fail(line int, err error) {
	i.summary.Failed++
	if i.options.Complain == nil {
		return
	}
	var conflict *Conflict
	if errors.As(err, &conflict) {
		i.options.Complain(line, &Invalid{Field: conflict.Field, Message: conflict.Message})
		return
	}
	for _, complaint := range Complaints(err) {
		i.options.Complain(line, complaint)
	}
}

// check says what is wrong with a line by itself, and with its being there twice.
func (i *importing) check(ctx context.Context, n *newcomer) (err error) {
	var c complaints
	r := n.record
	n.email, err = identity.Email(r.Email)
	c.check("email", err)
	if r.ID != "" {
		if n.id, err = storage.ParseID(r.ID); err != nil {
			c.add("id", "it must be a UUID")
		}
	}
	if r.Username != nil && *r.Username != "" {
		n.username, err = identity.Username(*r.Username)
		c.check("username", err)
	}
	if r.Name != nil && *r.Name != "" {
		c.check("name", profile.Name(*r.Name))
	}
	switch {
	case r.Password != "" && r.PasswordHash != "":
		c.add("password", "there may be a password or its hash, not both")
	case r.Password != "":
		c.check("password", password.Check(r.Password.Reveal()))
	case r.PasswordHash != "":
		c.check("password_hash", password.Importable(r.PasswordHash))
		n.hash = r.PasswordHash
	default:
		n.hash = password.None
	}
	for _, complaint := range profile.Metadata(r.Metadata) {
		c.add("metadata", "%s", complaint)
	}
	if r.CreatedAt != nil && (r.CreatedAt.After(time.Now()) || r.CreatedAt.Year() < 1970) {
		c.add("created_at", "it must be between 1970 and now")
	}
	for _, name := range r.Roles {
		if err := i.knowRole(ctx, &c, name); err != nil {
			return err
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	return i.once(n)
}

// knowRole looks whether the organization has a role. The system roles are always there.
func (i *importing) knowRole(ctx context.Context, c *complaints, name string) error {
	if _, ok := i.roles[name]; ok || permission.IsSystemRole(name) {
		return nil
	}
	if err := profile.Name(name); err != nil {
		c.check("roles", err)
		return nil
	}
	role, err := i.operators.RoleNamed(ctx, name)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		c.check("roles", noRole(name))
	case err != nil:
		return fmt.Errorf("import users: %w", err)
	default:
		if err := mayGive(ctx, role.Permissions...); err != nil {
			return err
		}
		i.roles[name] = role.ID
	}
	return nil
}

// once complains of what stands on an earlier line.
func (i *importing) once(n *newcomer) error {
	var c complaints
	keys := []struct{ field, value string }{{"email", n.email}, {"username", n.username}, {"id", ""}}
	if n.id != uuid.Nil {
		keys[2].value = n.id.String()
	}
	var digests []uint64
	for _, key := range keys {
		if key.value == "" {
			continue
		}
		digest := maphash.String(i.seed, key.field+" "+key.value)
		if earlier, twice := i.seen[digest]; twice {
			c.add(key.field, "line %d has the same", earlier)
		}
		digests = append(digests, digest)
	}
	if err := c.err(); err != nil {
		return err
	}
	for _, digest := range digests {
		i.seen[digest] = n.line
	}
	return nil
}

// outcome is what becomes of a line.
type outcome int

const (
	created outcome = iota
	updated
	unchanged
	skipped
	refused
)

// plan is what becomes of one line, and why.
type plan struct {
	*newcomer
	outcome outcome
	// user is who is there already.
	user *storage.User
	// missing are the roles that they have not.
	missing []string
	// password is true where somebody who has none is given one.
	password bool
	err      error
}

// errLate says that the people are others than when passwords were hashed.
var errLate = errors.New("somebody was changed meanwhile")

// write does what has to be done for a batch: all at once, or, if somebody is in the way, line by line.
func (i *importing) write(ctx context.Context, batch []*newcomer) error {
	if len(batch) == 0 {
		return nil
	}
	err := i.try(ctx, batch)
	if !inTheWay(err) {
		return err
	}
	for _, n := range batch {
		one := []*newcomer{n}
		for range retries {
			if err = i.try(ctx, one); !inTheWay(err) {
				break
			}
		}
		switch {
		case errors.Is(err, storage.ErrConflict): // nobody who can be seen: a person of another organization has the id
			i.fail(n.line, &Invalid{Field: "id", Message: "somebody has it already"})
		case inTheWay(err):
			i.fail(n.line, &Invalid{Field: "email", Message: "somebody else changes this person again and again"})
		case err != nil:
			return err
		}
	}
	return nil
}

func inTheWay(err error) bool {
	return errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) || errors.Is(err, errLate)
}

// try plans and writes in one transaction, and counts what it has done when that is committed.
func (i *importing) try(ctx context.Context, batch []*newcomer) error {
	plans, err := i.plan(ctx, batch)
	if err != nil {
		return err
	}
	if writes := slices.ContainsFunc(plans, func(p *plan) bool { return p.outcome == created || p.outcome == updated }); writes && !i.options.DryRun {
		if err := i.hash(ctx, plans); err != nil {
			return err
		}
		err = i.operators.db.InTx(ctx, func(ctx context.Context) error {
			if plans, err = i.plan(ctx, batch); err != nil {
				return err
			}
			return i.commit(ctx, plans)
		})
		if err != nil {
			if inTheWay(err) {
				return err
			}
			return during("import users", err)
		}
	}
	for _, p := range plans {
		switch p.outcome {
		case created:
			i.summary.Created++
		case updated:
			i.summary.Updated++
		case unchanged:
			i.summary.Unchanged++
		case skipped:
			i.summary.Skipped++
		case refused:
			i.fail(p.line, p.err)
		}
	}
	return nil
}

// plan decides what becomes of each line, by who is there.
func (i *importing) plan(ctx context.Context, batch []*newcomer) ([]*plan, error) {
	var ids []uuid.UUID
	var emails, usernames []string
	for _, n := range batch {
		if n.id != uuid.Nil {
			ids = append(ids, n.id)
		}
		if n.username != "" {
			usernames = append(usernames, n.username)
		}
		emails = append(emails, n.email)
	}
	users, err := i.operators.db.UsersNamed(ctx, ids, emails, usernames)
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	byID, byEmail, byName := make(map[uuid.UUID]*storage.User), make(map[string]*storage.User), make(map[string]*storage.User)
	var present []uuid.UUID
	for at := range users {
		user := &users[at]
		present = append(present, user.ID)
		byID[user.ID], byEmail[deref(user.EmailCanonical)] = user, user
		if user.UsernameCanonical != nil {
			byName[*user.UsernameCanonical] = user
		}
	}
	roles, err := i.operators.db.RoleNames(ctx, present)
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	plans := make([]*plan, len(batch))
	for at, n := range batch {
		p := &plan{newcomer: n, user: byEmail[n.email]}
		plans[at] = p
		if n.id != uuid.Nil {
			p.user = byID[n.id]
		}
		if p.err = taken(p, byEmail[n.email], byName[n.username]); p.err != nil {
			p.outcome = refused
			continue
		}
		if p.user != nil {
			i.compare(p, roles[p.user.ID])
		}
	}
	return plans, nil
}

// taken complains of what somebody else has.
func taken(p *plan, sameEmail, sameName *storage.User) error {
	var c complaints
	if sameEmail != nil && (p.user == nil || sameEmail.ID != p.user.ID) {
		c.add("email", "somebody with another id has this e-mail address")
	}
	if p.username != "" && sameName != nil && (p.user == nil || sameName.ID != p.user.ID) {
		c.add("username", "somebody else has this user name")
	}
	return c.err()
}

// compare decides what becomes of somebody who is there.
func (i *importing) compare(p *plan, roles []string) {
	for _, name := range rolesNamed(p.record.Roles) {
		if !slices.Contains(roles, name) {
			p.missing = append(p.missing, name)
		}
	}
	after := *p.user
	changed := p.patch().to(&after)
	if active := p.record.Active; active != nil && *active != p.user.IsActive {
		changed = append(changed, "active")
	}
	p.password = p.user.PasswordHash == password.None && (p.record.Password != "" || p.record.PasswordHash != "")
	switch differs := len(changed) > 0 || len(p.missing) > 0 || p.password; {
	case !differs:
		p.outcome = unchanged
	case i.options.OnConflict == ConflictUpdate:
		p.outcome = updated
	case i.options.OnConflict == ConflictSkip:
		p.outcome = skipped
	default:
		p.outcome, p.err = refused, &Invalid{Field: "email", Message: "this person is there already, and differs from the file"}
	}
}

// patch is what the line says about somebody who is there.
func (p *plan) patch() UserPatch {
	patch := UserPatch{Username: p.record.Username, FullName: p.record.Name, Verified: p.record.EmailVerified}
	if p.user.EmailCanonical == nil || p.email != *p.user.EmailCanonical {
		patch.Email = &p.record.Email
	}
	if p.record.Metadata != nil {
		patch.Metadata = &p.record.Metadata
	}
	return patch
}

// hash computes what passwords will be checked against, several at once. It is the slow part of an import, and no transaction
// waits for it.
func (i *importing) hash(ctx context.Context, plans []*plan) error {
	todo := make(chan *plan)
	errs := make(chan error, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for range cap(errs) {
		workers.Go(func() {
			for p := range todo {
				hash, err := i.operators.hasher.Hash(ctx, p.record.Password.Reveal())
				for errors.Is(err, password.ErrBusy) {
					hash, err = i.operators.hasher.Hash(ctx, p.record.Password.Reveal())
				}
				if err != nil {
					errs <- fmt.Errorf("line %d: %w", p.line, err)
					for range todo { // so that nobody waits for this worker
					}
					return
				}
				p.hash = hash
			}
		})
	}
	for _, p := range plans {
		if p.hash == "" && (p.outcome == created || p.outcome == updated && p.password) {
			todo <- p
		}
	}
	close(todo)
	workers.Wait()
	close(errs)
	return <-errs
}

// commit writes a batch, in a transaction.
func (i *importing) commit(ctx context.Context, plans []*plan) error {
	o := i.operators
	var rows []*storage.User
	var events []*storage.AuditEvent
	for _, p := range plans {
		if p.outcome != created {
			continue
		}
		if p.hash == "" {
			return errLate
		}
		row := p.row()
		rows = append(rows, row)
		events = append(events, eventOf(ctx, "user.created", row.ID.String(), map[string]any{
			"imported": true, "roles": rolesNamed(p.record.Roles), "verified": row.IsVerified,
		}))
		p.user = row
	}
	if len(rows) > 0 {
		if err := errors.Join(o.db.CreateUsers(ctx, rows)); err != nil {
			return err
		}
		if err := o.db.AppendAudits(ctx, events); err != nil {
			return err
		}
	}
	for _, p := range plans {
		switch p.outcome {
		case created:
			if err := i.grant(ctx, p.user.ID, p.record.Roles); err != nil {
				return err
			}
		case updated:
			if err := i.update(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// row is somebody new.
func (p *plan) row() *storage.User {
	row := &storage.User{
		ID: p.id, Email: p.record.Email, PasswordHash: p.hash, IsActive: p.record.Active == nil || *p.record.Active,
		IsVerified: p.record.EmailVerified != nil && *p.record.EmailVerified, Metadata: p.record.Metadata,
	}
	if row.ID == uuid.Nil {
		row.ID = uuid.New()
	}
	if row.Metadata == nil {
		row.Metadata = map[string]any{}
	}
	if p.username != "" {
		row.Username = p.record.Username
	}
	if deref(p.record.Name) != "" {
		row.FullName = p.record.Name
	}
	if p.record.CreatedAt != nil {
		row.CreatedAt = p.record.CreatedAt.UTC()
	}
	return row
}

// update makes somebody who is there what the line says. The last owner stays active, and that is found before anything of the
// line is written.
func (i *importing) update(ctx context.Context, p *plan) error {
	o := i.operators
	user, err := o.db.LockUser(ctx, p.user.ID)
	if err != nil {
		return err
	}
	if err := o.mayActOn(ctx, p.user.ID); err != nil {
		return err
	}
	before := *user
	var changed []string
	if active := p.record.Active; active != nil && *active != user.IsActive {
		err := o.setActive(ctx, user, *active)
		var conflict *Conflict
		if errors.As(err, &conflict) {
			p.outcome, p.err = refused, &Invalid{Field: "active", Message: conflict.Message}
			return nil
		}
		if err != nil {
			return err
		}
		changed = append(changed, "active")
	}
	if p.password && user.PasswordHash == password.None {
		if p.hash == "" {
			return errLate
		}
		if err := o.db.SetPasswordHash(ctx, user.ID, p.hash); err != nil {
			return err
		}
		changed = append(changed, "password")
	}
	held, err := o.roleNames(ctx, user.ID)
	if err != nil {
		return err
	}
	if err := i.grant(ctx, user.ID, p.missing); err != nil {
		return err
	}
	if len(p.missing) > 0 {
		changed = append(changed, "roles")
	}
	changed = append(changed, p.patch().to(user)...)
	was, is := before.Audited(), user.Audited()
	was["roles"], is["roles"] = held, slices.Sorted(slices.Values(slices.Concat(held, p.missing)))
	details := storage.Changes(was, is)
	if details == nil { // such as a password alone
		details = make(map[string]any)
	}
	details["imported"] = true
	return o.writeUser(ctx, &before, user, changed, details)
}

func (i *importing) grant(ctx context.Context, user uuid.UUID, names []string) error {
	for _, name := range names {
		id, known := i.roles[name]
		if !known {
			role, err := i.operators.role(ctx, name)
			if err != nil {
				return err
			}
			id = role.ID
		}
		if err := i.operators.db.GrantRole(ctx, user, id); err != nil {
			return err
		}
	}
	return nil
}
