package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"

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

// listing is the part of a list that is asked for. A cursor opens only for the list, order and filter that it was made for: what it
// holds is sealed, for it may be somebody's address.
func (a *API) listing(ctx context.Context, p Paging, name, sort string, filter any) (storage.Listing, error) {
	l := storage.Listing{Sort: sort, Limit: p.Limit}
	if p.Cursor == "" {
		return l, nil
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil {
		return l, storage.ErrListing
	}
	place, err := a.place(ctx, name, sort, filter)
	if err != nil {
		return l, err
	}
	text, err := a.keyring.Open(purposeCursor, sealed, place...)
	if err != nil {
		return l, storage.ErrListing
	}
	l.After = new(storage.Position)
	if err := json.Unmarshal(text, l.After); err != nil {
		return l, storage.ErrListing
	}
	return l, nil
}

// place is what a cursor is bound to.
func (a *API) place(ctx context.Context, name, sort string, filter any) ([]string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(filter)
	return []string{org.ID.String(), name, sort, string(text)}, err
}

// paged puts a page together.
func paged[R, T any](ctx context.Context, a *API, rows []R, next *storage.Position, name, sort string, filter any, show func(*R) T) (*page[T], error) {
	out := &page[T]{Body: Page[T]{Items: make([]T, len(rows))}}
	for i := range rows {
		out.Body.Items[i] = show(&rows[i])
	}
	if next == nil {
		return out, nil
	}
	text, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	place, err := a.place(ctx, name, sort, filter)
	if err != nil {
		return nil, err
	}
	sealed, err := a.keyring.Seal(purposeCursor, text, place...)
	if err != nil {
		return nil, err
	}
	out.Body.NextCursor = base64.RawURLEncoding.EncodeToString(sealed)
	address := *addressOf(ctx)
	query := address.Query()
	query.Set("cursor", out.Body.NextCursor)
	onward := url.URL{Path: address.Path, RawPath: address.RawPath, RawQuery: query.Encode()}
	out.Link = "<" + a.base + onward.String() + `>; rel="next"`
	return out, nil
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
