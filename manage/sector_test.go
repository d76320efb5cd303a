package manage_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// documents answers what stands at addresses, counts how often it is asked, and is never asked in a transaction of a database with one writer.
type documents struct {
	at    map[string]string
	asked []string
}

func (d *documents) Get(_ context.Context, address, _ string, limit int64) ([]byte, error) {
	d.asked = append(d.asked, address)
	text, ok := d.at[address]
	if !ok || int64(len(text)) > limit {
		return nil, outbound.ErrFetch
	}
	return []byte(text), nil
}

// OpenID Connect Core 1.0 §8.1, OpenID Connect Dynamic Client Registration 1.0 §5; S-129.
func TestTheSectorOfAClientIsProvenBeforeItIsRegistered(t *testing.T) {
	t.Parallel()
	o := newReplica(storagetest.Open(t, storagetest.MigratedSQLiteURL(t)))
	o = applying(o)
	there := &documents{at: map[string]string{
		"https://sector.example/both": `["https://a.example/cb","https://b.example/cb","com.example.app:/cb"]`, "https://sector.example/one": `["https://a.example/cb"]`,
		"https://sector.example/object": `{"redirect_uris":["https://a.example/cb"]}`, "https://sector.example/numbers": `["https://a.example/cb",1]`,
		"https://sector.example/long": `["https://a.example/cb",` + strings.Repeat(" ", 64<<10) + `"x"]`,
	}}
	o.Operators = o.Proving(manage.Outside{Fetch: there}).Federating(outbound.Options{}, nil)
	ctx := o.organization(t, "acme")
	a, b, app := "https://a.example/cb", "https://b.example/cb", "com.example.app:/cb"
	client := func(sector string, redirects ...string) manage.ClientSpec {
		spec := manage.ClientSpec{Name: "App", RedirectURIs: redirects, Metadata: map[string]any{"subject_type": "pairwise"}}
		if sector != "" {
			spec.Metadata["sector_identifier_uri"] = sector
		}
		return spec
	}
	const kind, uri = "subject_type", "sector_identifier_uri"
	for name, c := range map[string]struct {
		spec   manage.ClientSpec
		fields []string
		asked  int
	}{
		"one host":                  {client("", a, "https://a.example:8443/other"), nil, 0},
		"several hosts":             {client("", a, b), []string{kind}, 0},
		"no host":                   {client("", app), []string{kind}, 0},
		"this machine":              {client("", "http://127.0.0.1/cb"), []string{kind}, 0},
		"several in a document":     {client("https://sector.example/both", a, b, app), nil, 1},
		"one that is missing there": {client("https://sector.example/one", a, b), []string{uri}, 1},
		"no array":                  {client("https://sector.example/object", a), []string{uri}, 1},
		"not of texts":              {client("https://sector.example/numbers", a), []string{uri}, 1},
		"too long":                  {client("https://sector.example/long", a), []string{uri}, 1},
		"nothing there":             {client("https://sector.example/nothing", a), []string{uri}, 1},
		"http":                      {client("http://sector.example/both", a), []string{uri}, 0},
		"within":                    {client("https://169.254.169.254/latest", a), []string{uri}, 0},
		"by number":                 {client("https://2130706433/", a), []string{uri}, 0},
		"with a password":           {client("https://u:p@sector.example/both", a), []string{uri}, 0},
		"no address":                {client("sector", a), []string{uri}, 0},
		"something else is wrong":   {client("https://sector.example/both", a, "javascript:x"), []string{"redirect_uris"}, 0},
		"of a service": {manage.ClientSpec{Name: "Job", GrantTypes: []string{"client_credentials"}, Metadata: map[string]any{
			kind: "pairwise", uri: "https://sector.example/one",
		}}, []string{kind, uri}, 0},
		"of another type": {manage.ClientSpec{Name: "App", RedirectURIs: []string{a}, Metadata: map[string]any{kind: 1.0, uri: true}}, []string{kind, uri}, 0},
	} {
		there.asked = nil
		_, _, err := o.CreateClient(ctx, c.spec)
		if len(c.fields) == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(c.fields) > 0 {
			complains(t, name, err, c.fields...)
		}
		if len(there.asked) != c.asked {
			t.Errorf("%s: %v was asked for", name, there.asked)
		}
	}

	// A change of what the document is about asks anew, and no other does: what is down there must keep nobody from switching a client off.
	row, _, err := o.CreateClient(ctx, client("https://sector.example/both", a))
	must(t, err)
	there.asked = nil
	there.at["https://sector.example/both"] = `["https://a.example/cb"]`
	_, _, err = o.UpdateClient(ctx, row.ClientID, manage.ClientPatch{RedirectURIs: &[]string{a, b}})
	complains(t, "a redirect URI that is not listed", err, uri)
	delete(there.at, "https://sector.example/both")
	_, _, err = o.UpdateClient(ctx, row.ClientID, manage.ClientPatch{Metadata: &map[string]any{kind: "pairwise", uri: "https://sector.example/nothing"}})
	complains(t, "another document", err, uri)
	if len(there.asked) != 2 {
		t.Error(there.asked)
	}
	_, _, err = o.UpdateClient(ctx, row.ClientID, manage.ClientPatch{Disabled: ptr(true), Name: ptr("Other"), Metadata: &map[string]any{kind: "public", uri: "https://sector.example/both"}})
	if err != nil || len(there.asked) != 2 {
		t.Errorf("%v, %v", err, there.asked)
	}
	// In a transaction nobody is asked: whoever begins one has asked before.
	there.at["https://sector.example/both"] = `["https://a.example/cb","https://b.example/cb"]`
	patch := manage.ClientPatch{RedirectURIs: &[]string{a, b}}
	err = o.db.InTx(o.AskSectors(ctx), func(ctx context.Context) error {
		_, _, err := o.UpdateClient(ctx, row.ClientID, patch)
		return err
	})
	if !errors.Is(err, storage.ErrConflict) || len(there.asked) != 2 {
		t.Errorf("%v, %v", err, there.asked)
	}
	err = o.db.InTx(o.AskSector(ctx, row.ClientID, patch), func(ctx context.Context) error {
		_, _, err := o.UpdateClient(ctx, row.ClientID, patch)
		return err
	})
	if err != nil || len(there.asked) != 3 {
		t.Errorf("%v, %v", err, there.asked)
	}

	// A manifest is held to the same, and asks for nothing that is known.
	m, err := read(t, `{keizer: 1, slug: acme, clients: [
		{client_id: one, redirect_uris: ["https://a.example/cb", "https://b.example/cb"], subject_type: pairwise, sector_identifier_uri: "https://sector.example/both"},
		{client_id: two, redirect_uris: ["https://b.example/cb"], subject_type: pairwise, sector_identifier_uri: "https://sector.example/both"}]}`)
	must(t, err)
	there.asked = nil
	for range 2 {
		_, err = o.Apply(ctx, m, manage.ApplyOptions{})
		must(t, err)
	}
	if !slices.Equal(there.asked, []string{"https://sector.example/both"}) {
		t.Error(there.asked)
	}
	bad, err := read(t, `{keizer: 1, slug: acme, clients: [
		{client_id: one, redirect_uris: ["https://c.example/cb"], subject_type: pairwise, sector_identifier_uri: "https://sector.example/both"}]}`)
	must(t, err)
	_, err = o.Apply(ctx, bad, manage.ApplyOptions{})
	complains(t, "a manifest", err, "/clients/0/sector_identifier_uri")
}

// S-129 and section H: the document is fetched as everything else is, from no address within, through no redirect, and not for ever.
func TestTheDocumentOfASectorIsFetchedWithCare(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/silent":
			<-r.Context().Done()
		case "/bomb":
			for range 65 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1024))); err != nil {
					return
				}
			}
		default:
			_, _ = w.Write([]byte(`["http://localhost/cb"]`))
		}
	}))
	defer server.Close()
	o := newReplica(storagetest.Open(t, storagetest.MigratedSQLiteURL(t)))
	ctx := o.organization(t, "acme")
	create := func(o *manage.Operators, path string) error {
		_, _, err := o.CreateClient(ctx, manage.ClientSpec{
			Name: "App", RedirectURIs: []string{"http://localhost/cb"}, Metadata: map[string]any{"subject_type": "pairwise", "sector_identifier_uri": server.URL + path},
		})
		return err
	}
	local := o.Proving(manage.Outside{Fetch: outbound.New(outbound.Options{AllowLoopback: true, Timeout: 300 * time.Millisecond})}).InDevelopment()
	must(t, create(local, "/good"))
	for _, path := range []string{"/moved", "/silent", "/bomb"} {
		complains(t, path, create(local, path), "sector_identifier_uri")
	}
	before := asked.Load()
	complains(t, "this machine", create(o.Proving(manage.Outside{Fetch: outbound.New(outbound.Options{})}), "/good"), "sector_identifier_uri")
	// And were it registered all the same, the connection is refused.
	complains(t, "this machine, registered", create(o.Proving(manage.Outside{Fetch: outbound.New(outbound.Options{})}).InDevelopment(), "/good"), "sector_identifier_uri")
	if asked.Load() != before {
		t.Error("somebody was asked")
	}
}
