package admin

import (
	"context"
	"io"
	"net/http"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
)

// Imported is what came of an import.
type Imported struct {
	manage.ImportSummary
	Complaints []ImportComplaint `json:"complaints" doc:"What is wrong with whom; the others are imported."`
}

// ImportComplaint is what is wrong with one of the people.
type ImportComplaint struct {
	Index   int    `json:"index" doc:"Which of the people it is, counted from 0."`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// givenPeople are people that a request has brought.
type givenPeople struct {
	people []manage.Record
	at     int
}

// Next implements manage.RecordReader.
func (g *givenPeople) Next() (int, *manage.Record, error) {
	if g.at == len(g.people) {
		return g.at, nil, io.EOF
	}
	g.at++
	return g.at - 1, &g.people[g.at-1], nil
}

const (
	importPath = usersPath + "/import"
	exportPath = usersPath + "/export"
)

// mountTransfer are /organizations/{org}/users/import and export: many people at once, for moving.
func (a *API) mountTransfer() {
	type importIn struct {
		InOrg
		Body struct {
			People     []manage.Record `json:"people" minItems:"1" maxItems:"200"`
			OnConflict string          `json:"on_conflict,omitempty" enum:"fail,skip,update" doc:"What is done about whoever is there and differs; fail if left out."`
			DryRun     bool            `json:"dry_run,omitempty" doc:"Whether everything is looked at and nothing written."`
		} `nameHint:"Import"`
	}
	register(a, operation{
		id: "import-users", method: http.MethodPost, path: importPath, summary: "Make people, those that are missing",
		description: "A person is known by id, where it is given, else by e-mail address. Each is written as a whole or not at all, and the password of somebody " +
			"who has one is never replaced. It may be repeated.", permission: permission.UsersWrite,
	}, func(ctx context.Context, in *importIn) (*struct{ Body Imported }, error) {
		out := &struct{ Body Imported }{Imported{Complaints: []ImportComplaint{}}}
		complain := func(index int, c *manage.Invalid) {
			out.Body.Complaints = append(out.Body.Complaints, ImportComplaint{index, c.Field, plain(c.Message)})
		}
		var err error
		out.Body.ImportSummary, err = a.operators.ImportUsers(ctx, &givenPeople{people: in.Body.People}, manage.ImportOptions{
			DryRun: in.Body.DryRun, OnConflict: in.Body.OnConflict, Complain: complain,
		})
		return out, err
	})

	type Filter struct {
		Hashes string `query:"hashes" enum:"true,false" doc:"Whether with the hashes of passwords, which takes every permission in the organization."`
		IDs    string `query:"ids" enum:"true,false" doc:"Whether with ids."`
	}
	type exportIn struct {
		InOrg
		Paging
		Filter
	}
	register(a, operation{
		id: "export-users", method: http.MethodGet, path: exportPath, summary: "List people in the form that an import takes",
		description: "That it is done is written down when the first page is given.", permission: permission.UsersRead,
	}, func(ctx context.Context, in *exportIn) (*page[manage.Record], error) {
		bound := []any{"export", in.Filter}
		var after uuid.UUID
		if _, err := in.read(ctx, a, bound, &after); err != nil {
			return nil, err
		}
		records, next, err := a.operators.ExportUsersPart(ctx, manage.ExportOptions{Hashes: in.Hashes == "true", IDs: in.IDs == "true"}, after, in.Limit)
		if err != nil {
			return nil, err
		}
		out := whole(records)
		if next == uuid.Nil {
			return out, nil
		}
		return out.onward(ctx, a, bound, next)
	})
}
