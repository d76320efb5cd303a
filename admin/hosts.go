package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Host is a host of an organization, as it is answered.
type Host struct {
	Host          string     `json:"host"`
	VerifiedAt    *time.Time `json:"verified_at,omitempty" doc:"Since when it is the organization's and nobody else's; absent while it is only claimed."`
	VerifiedBy    string     `json:"verified_by,omitempty" enum:"dns,https"`
	Issuer        bool       `json:"issuer" doc:"Whether it is the issuer at this moment."`
	RecordName    string     `json:"record_name" doc:"The TXT record that proves the claim."`
	RecordContent string     `json:"record_content" doc:"What it must say."`
	CreatedAt     time.Time  `json:"created_at"`
}

func hostOf(row *storage.Host, org *storage.Organization) Host {
	name, content := manage.HostRecord(row)
	return Host{
		Host: row.Host, VerifiedAt: utc(row.VerifiedAt), VerifiedBy: row.VerifiedBy, Issuer: org.IssuerHostAt(time.Now()) == row.Host,
		RecordName: name, RecordContent: content, CreatedAt: row.CreatedAt.UTC(),
	}
}

const (
	hostsPath = orgPath + "/hosts"
	hostPath  = hostsPath + "/{host}"
)

// mountHosts are /organizations/{org}/hosts, and which of them is the issuer.
func (a *API) mountHosts() {
	// host shows one of the organization of ctx.
	host := func(ctx context.Context, row *storage.Host) (Host, error) {
		org, err := a.theOrganization(ctx)
		if err != nil {
			return Host{}, err
		}
		return hostOf(row, org), nil
	}
	register(a, operation{
		id: "list-hosts", method: http.MethodGet, path: hostsPath, summary: "List the hosts that an organization claims or has",
		permission: permission.OrganizationRead,
	}, func(ctx context.Context, _ *InOrg) (*page[Host], error) {
		org, err := a.theOrganization(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := a.db.ListHosts(ctx)
		return whole(shownAll(rows, func(row *storage.Host) Host { return hostOf(row, org) })), err
	})

	type addIn struct {
		InOrg
		Body struct {
			Host string `json:"host" maxLength:"253" example:"login.example.com"`
		} `nameHint:"NewHost"`
	}
	register(a, operation{
		id: "add-host", method: http.MethodPost, path: hostsPath, summary: "Claim a host", status: http.StatusCreated,
		description: "The organization has the host once it is proven: by the TXT record that the answer names.", permission: permission.OrganizationWrite,
	}, func(ctx context.Context, in *addIn) (*one[Host], error) {
		row, err := a.operators.AddHost(ctx, in.Body.Host)
		if err == nil {
			row, err = a.db.Host(ctx, row.Host)
		}
		if err != nil {
			return nil, err
		}
		body, err := host(ctx, row)
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.Host, body)
	})

	type OfHost struct {
		InOrg
		Host string `path:"host" maxLength:"253"`
	}
	type readIn struct {
		OfHost
		Reading
	}
	register(a, operation{
		id: "get-host", method: http.MethodGet, path: hostPath, summary: "Show a host", permission: permission.OrganizationRead,
	}, func(ctx context.Context, in *readIn) (*one[Host], error) {
		row, err := a.db.Host(ctx, in.Host)
		if err != nil {
			return nil, err
		}
		body, err := host(ctx, row)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, body)
	})

	type verifyIn struct {
		OfHost
		Body struct {
			Proof string `json:"proof" enum:"dns,https" doc:"By the TXT record, or by a request under the host, which takes keizer:organizations:write."`
		} `nameHint:"HostVerification"`
	}
	register(a, operation{
		id: "verify-host", method: http.MethodPost, path: hostPath + "/verify", summary: "Prove that a host is the organization's",
		description: "A host that is not proven is a conflict: it may be at another time.", permission: permission.OrganizationWrite,
	}, func(ctx context.Context, in *verifyIn) (*one[Host], error) {
		row, err := a.operators.VerifyHost(ctx, in.Host, in.Body.Proof)
		if complaints := manage.Complaints(err); len(complaints) > 0 { // it was asked for rightly, and is not so
			return nil, problem(http.StatusConflict, typeNotProven, plain(complaints[0].Message))
		}
		if err != nil {
			return nil, err
		}
		body, err := host(ctx, row)
		if err != nil {
			return nil, err
		}
		return shown(body)
	})

	register(a, operation{
		id: "remove-host", method: http.MethodDelete, path: hostPath, summary: "Give up a host, or the claim to it",
		description: "One that is the issuer, or is about to be, stays.", permission: permission.OrganizationWrite, names: fields{"host": ""},
	}, func(ctx context.Context, in *OfHost) (*nothing, error) {
		return nil, a.operators.RemoveHost(ctx, in.Host)
	})

	type issuerIn struct {
		InOrg
		Body struct {
			Host        string     `json:"host,omitempty" maxLength:"253" doc:"A host that is proven; the address below the server's own, if it is left out."`
			From        *time.Time `json:"from,omitempty" doc:"When: in a day at the soonest, which is also when it is left out."`
			Unannounced bool       `json:"unannounced,omitempty" doc:"Whether it may be sooner than applications can prepare for; at once, without from."`
		} `nameHint:"IssuerChange"`
	}
	register(a, operation{
		id: "set-issuer", method: http.MethodPut, path: orgPath + "/issuer", summary: "Plan which address is to be the issuer",
		description: "From that moment on everything that is issued has the new issuer, and the addresses before lead nowhere; the keys stay, and what was " +
			"issued before goes on. To name the issuer that it has takes back what was planned.",
		permission: permission.OrganizationWrite,
	}, func(ctx context.Context, in *issuerIn) (*one[Organization], error) {
		to := manage.IssuerChange{Host: in.Body.Host, Unannounced: in.Body.Unannounced}
		if in.Body.From != nil {
			to.From = *in.Body.From
		}
		row, err := a.operators.SetIssuerHost(ctx, to)
		if err != nil {
			return nil, err
		}
		return shown(a.organizationOf(row))
	})
}
