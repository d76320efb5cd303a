package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Paging is what every list can be asked.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at the most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"Where to go on: next_cursor of the page before."`
}

// page is one page of a list.
type page[T any] struct {
	Link string `header:"Link" doc:"The address of the next page, as rel=\"next\" (RFC 8288); absent on the last."`
	Body Page[T]
}

// Page is the body of one.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last."`
}

// purposeCursor is what the keys of cursors are derived for.
const purposeCursor = "api cursor"

// read opens the cursor of a request into the place that it holds, and reports whether there is one. It opens only for the list, order
// and filter that it was made for: what it holds is sealed, for it may be somebody's address.
func (p Paging) read(ctx context.Context, a *API, bound []any, into any) (bool, error) {
	if p.Cursor == "" {
		return false, nil
	}
	sealed, err := base64url.Decode(p.Cursor)
	if err != nil {
		return false, storage.ErrListing
	}
	data, err := associated(ctx, bound)
	if err != nil {
		return false, err
	}
	text, err := a.keyring.Open(purposeCursor, sealed, data...)
	if err != nil || json.Unmarshal(text, into) != nil {
		return false, storage.ErrListing
	}
	return true, nil
}

// associated is what a cursor is bound to: the organization, and what else makes the list.
func associated(ctx context.Context, bound []any) ([]string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(bound)
	return []string{org.ID.String(), string(text)}, err
}

// listing is the part of a list that is asked for.
func (a *API) listing(ctx context.Context, p Paging, name, sort string, filter any) (storage.Listing, error) {
	l := storage.Listing{Sort: sort, Limit: p.Limit}
	var after storage.Position
	there, err := p.read(ctx, a, []any{name, sort, filter}, &after)
	if there {
		l.After = &after
	}
	return l, err
}

// paged puts a page together.
func paged[R, T any](ctx context.Context, a *API, rows []R, next *storage.Position, name, sort string, filter any, show func(*R) T) (*page[T], error) {
	out := whole(shownAll(rows, show))
	if next == nil {
		return out, nil
	}
	return out.onward(ctx, a, []any{name, sort, filter}, next)
}

// onward returns a page that says where the next begins.
func (p *page[T]) onward(ctx context.Context, a *API, bound []any, next any) (*page[T], error) {
	text, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	data, err := associated(ctx, bound)
	if err != nil {
		return nil, err
	}
	sealed, err := a.keyring.Seal(purposeCursor, text, data...)
	if err != nil {
		return nil, err
	}
	p.Body.NextCursor = base64.RawURLEncoding.EncodeToString(sealed)
	address := *addressOf(ctx)
	query := address.Query()
	query.Set("cursor", p.Body.NextCursor)
	after := url.URL{Path: address.Path, RawPath: address.RawPath, RawQuery: query.Encode()}
	p.Link = "<" + a.base + after.String() + `>; rel="next"`
	return p, nil
}

// named is a page of a list that is in the order of a name, which the rows after a name are read of.
func named[R, T any](
	ctx context.Context, a *API, p Paging, list string, read func(after string, limit int) ([]R, error), name func(*R) string, show func(*R) T,
) (*page[T], error) {
	var after string
	if _, err := p.read(ctx, a, []any{list}, &after); err != nil {
		return nil, err
	}
	rows, err := read(after, p.Limit+1)
	if err != nil {
		return nil, err
	}
	if len(rows) <= p.Limit {
		return whole(shownAll(rows, show)), nil
	}
	rows = rows[:p.Limit]
	return whole(shownAll(rows, show)).onward(ctx, a, []any{list}, name(&rows[len(rows)-1]))
}

func shownAll[R, T any](rows []R, show func(*R) T) []T {
	items := make([]T, len(rows))
	for i := range rows {
		items[i] = show(&rows[i])
	}
	return items
}

// isText reports whether bytes are characters, as a database takes them.
func isText(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// whole is a list that is short enough to be given at once.
func whole[T any](items []T) *page[T] {
	if items == nil {
		items = []T{}
	}
	return &page[T]{Body: Page[T]{Items: items}}
}
