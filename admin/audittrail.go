package admin

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// AuditVerification is what came of verifying the chain of the audit, as it is answered.
type AuditVerification struct {
	OK         bool                 `json:"ok" doc:"Whether everything is as it was written."`
	Events     int64                `json:"events" doc:"How many events were looked at."`
	Unchained  int64                `json:"unchained" doc:"How many stand outside of the chain, from before it began."`
	Checkpoint string               `json:"checkpoint,omitempty" doc:"The last event and its MAC, to be kept elsewhere and given when it is verified again."`
	BeganAt    *time.Time           `json:"began_at,omitempty"`
	Faults     []storage.AuditFault `json:"faults" doc:"The first that were found."`
	Found      int64                `json:"faults_found" doc:"How many there are."`
}

func auditVerificationOf(report *storage.AuditReport) AuditVerification {
	v := AuditVerification{
		OK: report.Found == 0, Events: report.Verified, Unchained: report.Unchained, BeganAt: utc(report.BeganAt),
		Faults: append([]storage.AuditFault{}, report.Faults...), Found: report.Found,
	}
	if v.OK && report.Last.Sequence > 0 {
		v.Checkpoint = report.Last.String()
	}
	return v
}

// mountAuditTrail are /organizations/{org}/audit-lines and audit-verification: the audit as a whole.
func (a *API) mountAuditTrail() {
	type Filter struct {
		Actor  string    `query:"actor" maxLength:"300" doc:"Only what this actor did."`
		Action string    `query:"action" maxLength:"100" doc:"Only this."`
		Target string    `query:"target" maxLength:"300" doc:"Only what was done to this."`
		Since  time.Time `query:"since" doc:"Only what was done then or later (RFC 3339)."`
		Until  time.Time `query:"until" doc:"Only what was done before (RFC 3339)."`
	}
	type linesIn struct {
		InOrg
		Paging
		Filter
	}
	register(a, operation{
		id: "export-audit", method: http.MethodGet, path: orgPath + "/audit-lines", summary: "List the lines of an export of the audit",
		description: "Each is a line of the file that keizer audit export writes, byte by byte. If nothing is left out the first is the chain, by which " +
			"keizer audit verify verifies the file; it ends where the chain ended when the first page was given.",
		permission: permission.AuditRead,
	}, func(ctx context.Context, in *linesIn) (*page[string], error) {
		bound := []any{"audit lines", in.Filter}
		from := new(manage.AuditPlace)
		there, err := in.read(ctx, a, bound, from)
		if err != nil {
			return nil, err
		}
		if !there {
			from = nil
		}
		var text bytes.Buffer
		_, next, err := a.operators.ExportAuditPart(ctx, &text, storage.AuditFilter{
			Actor: in.Actor, Action: in.Action, Target: in.Target, Since: in.Since, Until: in.Until,
		}, from, in.Limit)
		if err != nil {
			return nil, err
		}
		lines := []string{}
		for line := range strings.Lines(text.String()) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
		if next == nil {
			return whole(lines), nil
		}
		return whole(lines).onward(ctx, a, bound, next)
	})

	type verifyIn struct {
		InOrg
		Checkpoint string `query:"checkpoint" maxLength:"200" doc:"What was kept of the chain: an event's number, a colon and its MAC. The chain must go through it."`
		SinceKept  string `query:"since_checkpoint" enum:"true,false" doc:"Whether only what came after the checkpoint is looked at."`
	}
	register(a, operation{
		id: "verify-audit", method: http.MethodGet, path: orgPath + "/audit-verification", summary: "Look whether the audit is as it was written",
		description: "Event by event, to the end of the chain. Of a long one look at what came after the checkpoint that the last verification ended with.",
		permission:  permission.AuditRead,
	}, func(ctx context.Context, in *verifyIn) (*struct{ Body AuditVerification }, error) {
		how := storage.AuditVerification{SinceKept: in.SinceKept == "true"}
		if in.Checkpoint != "" {
			kept, err := storage.ParseAuditCheckpoint(in.Checkpoint)
			if err != nil {
				return nil, problem(http.StatusBadRequest, typeInvalid, "", Offence{Parameter: "checkpoint", Detail: "It is not one."})
			}
			how.Kept = kept
		}
		if how.SinceKept && how.Kept == nil {
			return nil, problem(http.StatusBadRequest, typeInvalid, "", Offence{Parameter: "checkpoint", Detail: "It is needed for since_checkpoint."})
		}
		report, err := a.db.VerifyAudit(ctx, how)
		if err != nil {
			return nil, err
		}
		return &struct{ Body AuditVerification }{auditVerificationOf(report)}, nil
	})
}
