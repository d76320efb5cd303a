package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/pairwise"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage"
)

// Clients of several hosts are one sector by a document at their sector_identifier_uri, which lists the redirect URIs of all of them (OpenID
// Connect Core 1.0 §8.1). It is fetched when a client comes to have another such address or other redirect URIs, and never again.

const (
	memberSubjectType = "subject_type"
	memberSectorURI   = "sector_identifier_uri"

	subjectPublic   = "public"
	subjectPairwise = "pairwise"

	// maxSector is how long a document may be, in bytes.
	maxSector = 64 << 10
	// sectorsAtOnce is how many are fetched at the same time.
	sectorsAtOnce = 8
	// subjectsAtOnce is how many people are compared with a pairwise identifier at a time.
	subjectsAtOnce = 10_000
)

// SectorURI is the sector_identifier_uri, or empty.
func (s ClientSpec) SectorURI() string {
	uri, _ := s.Metadata[memberSectorURI].(string)
	return uri
}

// checkSubject checks by what the client is to know people (OpenID Connect Dynamic Client Registration 1.0 §2), as far as that can be told
// without asking anybody.
func (s ClientSpec) checkSubject(c *complaints, reach outbound.Options) {
	if value, ok := s.Metadata[memberSectorURI]; ok {
		if text, _ := value.(string); text == "" {
			c.add(memberSectorURI, "it must be an address")
		} else {
			c.check(memberSectorURI, reach.CheckURL(text))
		}
		if !s.hasPeople() {
			c.add(memberSectorURI, "it is for clients that people sign in to")
		}
	}
	switch kind := s.Metadata[memberSubjectType]; kind {
	case nil, subjectPublic:
	case subjectPairwise:
		if !s.hasPeople() {
			c.add(memberSubjectType, "pairwise is for clients that people sign in to")
			return
		}
		sector, err := pairwise.Sector(s.SectorURI(), s.RedirectURIs)
		switch {
		case s.SectorURI() != "": // of which it was said
		case err != nil:
			c.check(memberSubjectType, err)
		case !reach.AllowLoopback && everybodys(sector):
			c.add(memberSubjectType, "%s is every native application's: sector_identifier_uri is needed to say which sector it is", sector)
		}
	default:
		c.add(memberSubjectType, "%q is not one of public, pairwise", fmt.Sprint(kind))
	}
}

// everybodys reports whether a host is that of the person's own machine.
func everybodys(host string) bool {
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
}

// sectors are the documents that were fetched, by their addresses.
type sectors map[string]sectorDocument

type sectorDocument struct {
	body []byte
	err  error
}

type sectorsKey struct{}

// AskSectors fetches what clients that are to be made or changed name as their sector, and returns a context that knows it. Whoever makes or
// changes clients in a transaction asks before it begins, for in one nobody else is asked; once asked, nobody is asked again.
func (o *Operators) AskSectors(ctx context.Context, specs ...ClientSpec) context.Context {
	if _, asked := ctx.Value(sectorsKey{}).(sectors); asked {
		return ctx
	}
	found, turns := make(sectors), make(chan struct{}, sectorsAtOnce)
	var fetching sync.WaitGroup
	var mu sync.Mutex
	asked := make(map[string]bool)
	for _, spec := range specs {
		address := spec.SectorURI()
		if address == "" || asked[address] || o.reach.CheckURL(address) != nil {
			continue
		}
		asked[address] = true
		fetching.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			document := sectorDocument{err: outbound.ErrFetch}
			if o.outside.Fetch != nil {
				document.body, document.err = o.outside.Fetch.Get(ctx, address, "application/json", maxSector)
			}
			if document.err != nil {
				o.log.InfoContext(ctx, "a sector_identifier_uri could not be fetched", "cause", outbound.Cause(document.err))
			}
			mu.Lock()
			defer mu.Unlock()
			found[address] = document
		})
	}
	fetching.Wait()
	return context.WithValue(ctx, sectorsKey{}, found)
}

// AskSector is AskSectors for a change to one client, if it is one of what the document is about. What is wrong with the change is for
// UpdateClient to say.
func (o *Operators) AskSector(ctx context.Context, clientID string, patch ClientPatch) context.Context {
	if patch.RedirectURIs == nil && patch.Metadata == nil {
		return o.AskSectors(ctx)
	}
	client, err := o.db.Client(ctx, clientID)
	if err != nil {
		return o.AskSectors(ctx)
	}
	before, after := SpecOf(client), patch.to(SpecOf(client)).Complete()
	if !newSector(&before, after) || after.validate(o.reach) != nil {
		return o.AskSectors(ctx)
	}
	return o.AskSectors(ctx, after)
}

// newSector reports whether a client comes to name a sector, or to have other redirect URIs than the document was found to list. before is
// nil for one that is new.
func newSector(before *ClientSpec, after ClientSpec) bool {
	return after.SectorURI() != "" && (before == nil || before.SectorURI() != after.SectorURI() || !slices.Equal(before.RedirectURIs, after.RedirectURIs))
}

// checkSector holds a client to the document of its sector. That nobody has asked for it is storage.ErrConflict: the client was another when
// that was found out.
func checkSector(ctx context.Context, before *ClientSpec, after ClientSpec) error {
	if !newSector(before, after) {
		return nil
	}
	known, _ := ctx.Value(sectorsKey{}).(sectors)
	document, ok := known[after.SectorURI()]
	var c complaints
	switch {
	case !ok:
		return storage.ErrConflict
	case document.err != nil:
		c.check(memberSectorURI, outbound.ErrFetch)
	default:
		c.check(memberSectorURI, pairwise.CheckDocument(document.body, after.RedirectURIs))
	}
	return c.err()
}

// validate says everything that is wrong with what a client is to be. before is what it is, nil for one that is new.
func (o *Operators) validate(ctx context.Context, before *ClientSpec, after ClientSpec) error {
	if err := after.validate(o.reach); err != nil {
		return err
	}
	return checkSector(ctx, before, after)
}

// UserBehind returns the person whom a client knows by a subject identifier. Of a pairwise one nothing is written down: everybody of the
// organization is compared with it.
func (o *Operators) UserBehind(ctx context.Context, clientID, subject string) (*storage.User, error) {
	user, err := o.userBehind(ctx, clientID, subject)
	if err != nil {
		return nil, during("find the person of a subject identifier", err)
	}
	return user, nil
}

func (o *Operators) userBehind(ctx context.Context, clientID, subject string) (*storage.User, error) {
	client, err := o.db.Client(ctx, clientID)
	if err != nil {
		return nil, err
	}
	sector := client.Sector()
	if sector == "" {
		id, err := uuid.Parse(subject)
		if err != nil || id.String() != subject {
			return nil, storage.ErrNotFound
		}
		return o.db.User(ctx, id)
	}
	salt, err := o.db.PairwiseSalt(ctx)
	if err != nil {
		return nil, err
	}
	for after := uuid.Nil; ; {
		ids, err := o.db.UserIDs(ctx, after, subjectsAtOnce)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if after = id; salt.Subject(sector, id.String()) == subject {
				return o.db.User(ctx, id)
			}
		}
		if len(ids) < subjectsAtOnce {
			return nil, storage.ErrNotFound
		}
	}
}

// askSectors fetches what the clients of a manifest name as their sectors, where they are not what they are already.
func (o *Operators) askSectors(ctx context.Context, m *Manifest) (context.Context, error) {
	if !actorOf(ctx).Bound.Holds(permission.ClientsWrite) {
		return o.AskSectors(ctx), nil // who may not make clients has nobody asked for them
	}
	org, err := o.db.OrganizationBySlug(ctx, m.Slug)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	var specs []ClientSpec
	for _, w := range m.clients {
		after := w.spec.Complete()
		if after.SectorURI() == "" {
			continue
		}
		var before *ClientSpec
		if org != nil {
			row, err := o.db.Client(within(ctx, org), w.id)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return nil, err
			}
			if row != nil {
				before = new(SpecOf(row))
			}
		}
		if newSector(before, after) && after.validate(o.reach) == nil {
			specs = append(specs, after)
		}
	}
	return o.AskSectors(ctx, specs...), nil
}
