package admin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// RFC 9110 §8.8.3.2 and §13.1.
func TestAConditionIsMetByTheStrongTagItself(t *testing.T) {
	const tag = `"abc"`
	for condition, want := range map[string][2]bool{ // strong, weak
		tag: {true, true}, `*`: {true, true}, ` * `: {true, true}, `"x", "abc"`: {true, true}, `"x","abc" , "y"`: {true, true}, `W/"abc"`: {false, true}, `"x"`: {},
		`abc`: {}, ``: {}, `""`: {}, `"ABC"`: {}, `"abc`: {}, `w/"abc"`: {}, `"abc""abc"`: {},
	} {
		if got := [2]bool{matches(condition, tag, false), matches(condition, tag, true)}; got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestWhatIsToldOfAProblemIsNeverTheValue(t *testing.T) {
	const canary = "hunter2"
	for _, c := range []struct {
		detail huma.ErrorDetail
		want   Offence
	}{
		{huma.ErrorDetail{Location: "body.a.b[3].c", Message: "expected string", Value: canary}, Offence{Pointer: "/a/b/3/c", Detail: "Expected string."}},
		{huma.ErrorDetail{Location: "body", Message: "expected required property e/mail to be present", Value: canary}, Offence{Pointer: "/e~1mail", Detail: "It is needed."}},
		{huma.ErrorDetail{Location: "body.x", Message: "unexpected property", Value: map[string]any{"x": canary}}, Offence{Pointer: "/x", Detail: "It is not known, or not to be set."}},
		{huma.ErrorDetail{Location: "body.uri", Message: `expected string to be RFC 3986 uri: parse "` + canary + `": invalid`}, Offence{Pointer: "/uri", Detail: "Expected string to be RFC 3986 uri."}},
		{huma.ErrorDetail{Location: "query.limit", Message: "invalid integer", Value: canary}, Offence{Parameter: "limit", Detail: "Invalid integer."}},
		{huma.ErrorDetail{Location: "header.If-Match", Message: "x"}, Offence{Header: "If-Match", Detail: "X."}},
		{huma.ErrorDetail{Location: "body", Message: "not well-formed", Value: canary}, Offence{Detail: "Not well-formed."}},
	} {
		p := foreign(http.StatusUnprocessableEntity, "validation failed", &c.detail)
		if p.Status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0] != c.want {
			t.Errorf("%+v: %+v", c.detail, p)
		}
	}
	a := New(Deps{Operators: manage.New(nil, nil, nil)})
	for err, status := range map[error]int{
		errors.Join(&manage.Invalid{Field: "redirect_uris", Message: `"` + canary + `": it must be https, not "` + canary + `\"x"`}, &manage.Invalid{Field: "scope", Message: "it is empty"}): 400,
		&manage.Conflict{Field: "email", Message: `"` + canary + `" is taken`}: 409,
		errors.New("SQL: " + canary):                        500,
		&manage.Forbidden{Permission: "keizer:users:write"}: 403,
	} {
		p := a.problemOf(t.Context(), err, nil)
		if text, _ := json.Marshal(p); p.Status != status || strings.Contains(string(text), canary) {
			t.Errorf("%v: %d %s", err, p.Status, text)
		}
	}
}

// A cursor that was altered, or made for another place, opens nothing (FuzzCursor of S-258).
func FuzzCursor(f *testing.F) {
	a := New(Deps{Operators: manage.New(nil, nil, nil), Keyring: storagetest.Keyring()})
	in := func(org string) *tenant.Org { return &tenant.Org{ID: uuid.NewSHA1(uuid.NameSpaceDNS, []byte(org))} }
	f.Add("", 0, byte(1), "users", "email")
	f.Add("AAAA", 40, byte(0x80), "users", "-email")
	f.Add("====", -1, byte(255), "clients", "")
	f.Fuzz(func(t *testing.T, junk string, at int, flip byte, list, sort string) {
		ctx := tenant.With(t.Context(), in("ours"))
		data, err := associated(ctx, []any{"users", "email", nil})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := a.keyring.Seal(purposeCursor, []byte(`{"value":"a@example.com","id":"2f0c4b1e-8a53-4d0c-9a0e-0f6b6d1d9c11"}`), data...)
		if err != nil {
			t.Fatal(err)
		}
		good := base64.RawURLEncoding.EncodeToString(sealed)
		if l, err := a.listing(ctx, Paging{Cursor: good}, "users", "email", nil); err != nil || l.After == nil || l.After.Value != "a@example.com" {
			t.Fatalf("its own: %+v, %v", l, err)
		}
		altered := []byte(good)
		altered[(at%len(good)+len(good))%len(good)] ^= flip
		for _, cursor := range []string{junk, string(altered), good + junk, junk + good} {
			if cursor == good || cursor == "" {
				continue
			}
			if l, err := a.listing(ctx, Paging{Cursor: cursor}, "users", "email", nil); !errors.Is(err, storage.ErrListing) || l.After != nil {
				t.Errorf("%q opens: %+v, %v", cursor, l, err)
			}
		}
		if list != "users" || sort != "email" {
			if _, err := a.listing(ctx, Paging{Cursor: good}, list, sort, nil); !errors.Is(err, storage.ErrListing) {
				t.Errorf("of %s by %s: %v", list, sort, err)
			}
		}
		if _, err := a.listing(tenant.With(t.Context(), in("theirs")), Paging{Cursor: good}, "users", "email", nil); !errors.Is(err, storage.ErrListing) {
			t.Errorf("in another organization: %v", err)
		}
	})
}
