package storage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrListing says that a list was asked for in an order that it does not have, or from a place that is none in that order.
var ErrListing = errors.New("no such order, or no such place in it")

// Listing says which of the rows of a list are asked for: in which order, after which, and how many at the most. Lists go on from
// the row that was seen last, so that none is left out or comes twice while others are made and deleted.
type Listing struct {
	// Sort names one of the orders that the list has, with a hyphen before it for the other way round; empty is the list's own.
	Sort string
	// After is the place of the row that was seen last; nil is before the first.
	After *Position
	// Limit is how many rows; 0 is 100, and there are never more than 1000.
	Limit int
}

// Position is the place of a row in an order: what it is sorted by, as text, and its id, which tells apart what is sorted by the
// same.
type Position struct {
	Value string    `json:"value"`
	ID    uuid.UUID `json:"id"`
}

// order is one way in which the rows of a list can be sorted. The column is written here and never comes from outside (S-260).
type order[T any] struct {
	name, column string
	// One of these says what a row is sorted by.
	text func(*T) string
	time func(*T) time.Time
}

// orders are those that a list has, its own first. id is the column that the id stands in.
type orders[T any] struct {
	id  string
	of  func(*T) uuid.UUID
	all []order[T]
}

// names are those of all orders, as whoever asks may write them.
func (o orders[T]) names() []string {
	var names []string
	for _, one := range o.all {
		names = append(names, one.name, "-"+one.name)
	}
	return names
}

// sorted is a Listing, as a table understands it.
type sorted[T any] struct {
	orders[T]
	by         order[T]
	descending bool
	after      []any // what the position is compared with: value and id; nil at the beginning
	limit      int
}

func (o orders[T]) sorted(l Listing) (*sorted[T], error) {
	name, descending := strings.CutPrefix(l.Sort, "-")
	name = cmp.Or(name, o.all[0].name)
	i := slices.IndexFunc(o.all, func(one order[T]) bool { return one.name == name })
	if i < 0 {
		return nil, ErrListing
	}
	s := &sorted[T]{orders: o, by: o.all[i], descending: descending, limit: limited(l.Limit)}
	if l.After == nil {
		return s, nil
	}
	var value any = l.After.Value
	if s.by.time != nil {
		at, err := time.Parse(time.RFC3339Nano, l.After.Value)
		if err != nil {
			return nil, ErrListing
		}
		value = at
	}
	s.after = []any{value, l.After.ID}
	return s, nil
}

// condition compares a row with the position, with two placeholders for after.
func (s *sorted[T]) condition(value, id string) string {
	than := ">"
	if s.descending {
		than = "<"
	}
	return fmt.Sprintf("(%s, %s) %s (%s, %s)", s.by.column, s.id, than, value, id)
}

func (s *sorted[T]) order() string {
	way := ""
	if s.descending {
		way = " DESC"
	}
	return s.by.column + way + ", " + s.id + way
}

// statement completes one that is written out, whose arguments so far are args, with its condition, order and limit. It asks for
// a row more than there may be: if it comes, there are more.
func (s *sorted[T]) statement(text string, args ...any) (string, []any) {
	if s.after != nil {
		text += " AND " + s.condition(fmt.Sprintf("$%d", len(args)+1), fmt.Sprintf("$%d", len(args)+2))
		args = append(args, s.after...)
	}
	return fmt.Sprintf("%s ORDER BY %s LIMIT $%d", text, s.order(), len(args)+1), append(args, s.limit+1)
}

// page cuts off the row too many, and returns the place from which the list goes on, or nil at its end.
func (s *sorted[T]) page(rows []T) ([]T, *Position) {
	if len(rows) <= s.limit {
		return rows, nil
	}
	rows = rows[:s.limit]
	last := &rows[len(rows)-1]
	next := &Position{ID: s.of(last)}
	if s.by.time != nil {
		next.Value = s.by.time(last).UTC().Format(time.RFC3339Nano)
	} else {
		next.Value = s.by.text(last)
	}
	return rows, next
}
