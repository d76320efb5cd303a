package manage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Nameserver answers what stands in the TXT records of a name; net.Resolver is one.
type Nameserver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Fetcher fetches what stands at an address; outbound.Client is one.
type Fetcher interface {
	Get(ctx context.Context, address, accept string, limit int64) ([]byte, error)
}

// Outside is how operators look at the internet, to see whose a host is.
type Outside struct {
	Names   Nameserver
	Fetch   Fetcher
	Keyring *seal.Keyring
}

// Proving returns operators who can have hosts proven.
func (o *Operators) Proving(outside Outside) *Operators {
	proving := *o
	proving.outside = outside
	return &proving
}

// The ways in which a host is proven.
const (
	// ProofDNS is a TXT record that names the claim. It shows who governs the name.
	ProofDNS = "dns"
	// ProofHTTPS is that this installation is reached under the name. It does not show which organization of it the name is meant for,
	// so it takes somebody who may act for every one.
	ProofHTTPS = "https"
)

const (
	// HostProofPath is where this installation answers that it is reached under a host; a nonce is added.
	HostProofPath = "/.well-known/keizer-host"

	recordPrefix  = "_keizer."
	recordContent = "keizer-host="

	maxHosts    = 100
	lookUpFor   = 5 * time.Second
	maxAnswer   = 1 << 10
	purposeHost = "host proof"
	// notice is how long beforehand a change of issuer is announced, unless it is said otherwise; and maxNotice at the most.
	notice    = 24 * time.Hour
	maxNotice = 366 * 24 * time.Hour
	// dawdle is what may pass between the reckoning of a time by whoever asks, and its check.
	dawdle = time.Minute
)

// HostRecord is the TXT record that proves a claim.
func HostRecord(host *storage.Host) (name, content string) {
	return recordPrefix + host.Host, recordContent + host.Token
}

// AnswerHostProof is what this installation says when it is asked under a host, with a nonce, whether it is reached there.
func AnswerHostProof(ring *seal.Keyring, host, nonce string) string {
	return ring.MAC(purposeHost, host, nonce)
}

// AddHost claims a host for the organization of ctx. It has it once that is proven, with VerifyHost. A host that another has is a
// Conflict; one that another claims is not: nobody can keep it from whoever can prove it.
func (o *Operators) AddHost(ctx context.Context, name string) (*storage.Host, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	host, err := o.checkHost(name)
	if err != nil {
		return nil, &Invalid{Field: "host", Message: err.Error()}
	}
	claim := &storage.Host{Host: host, Token: rand.Text()}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		claim.CreatedAt = time.Time{}
		if owner, err := o.db.OrganizationByHost(ctx, host); err == nil && owner.ID != org.ID {
			return &Conflict{Field: "host", Message: "another organization has it"}
		} else if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		hosts, err := o.db.ListHosts(ctx)
		if err != nil {
			return err
		}
		if len(hosts) >= maxHosts {
			return &Conflict{Field: "host", Message: fmt.Sprintf("the organization has %d already", maxHosts)}
		}
		if err := o.db.CreateHost(ctx, claim); err != nil {
			return err
		}
		return o.audit(ctx, "host.claimed", host, nil)
	})
	var conflict *Conflict
	if errors.Is(err, storage.ErrConflict) && !errors.As(err, &conflict) {
		err = &Conflict{Field: "host", Message: "the organization claims it already"}
	}
	if err != nil {
		return nil, during("add host", err)
	}
	return claim, nil
}

// checkHost returns the canonical form of a host that an organization may have.
func (o *Operators) checkHost(name string) (string, error) {
	host, err := identity.Domain(name)
	switch {
	case err != nil || host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return "", errors.New("it must be the name of a host on the internet, such as login.example.com, without scheme, port and path")
	case outbound.CheckURL(httpsOf(host), false) != nil:
		return "", errors.New("it must be the name of a host on the internet")
	}
	if base, err := url.Parse(o.addresses.Base); err == nil && base.Hostname() == host {
		return "", errors.New("it is the host of the server itself")
	}
	return host, nil
}

// Unproven is why a host could not be proven, in words for whoever tries. It is an Invalid.
func unproven(format string, a ...any) error {
	return &Invalid{Field: "host", Message: fmt.Sprintf(format, a...)}
}

// VerifyHost proves, by ProofDNS or ProofHTTPS, that a host which the organization claims is its own. Of several organizations that prove
// the same host one has it; for the others it is a Conflict. That it was proven before is no error: it is proven again, and nothing
// changes.
func (o *Operators) VerifyHost(ctx context.Context, name, proof string) (*storage.Host, error) {
	host, err := o.db.Host(ctx, canonical(name))
	if err != nil {
		return nil, during("verify host", err)
	}
	if host.VerifiedAt == nil {
		switch _, err := o.db.OrganizationByHost(ctx, host.Host); {
		case err == nil:
			return nil, &Conflict{Field: "host", Message: "another organization has it"}
		case !errors.Is(err, storage.ErrNotFound):
			return nil, during("verify host", err)
		}
	}
	switch proof {
	case ProofDNS:
		err = o.lookAtRecord(ctx, host)
	case ProofHTTPS:
		if bound := actorOf(ctx).Bound; !bound.Holds(permission.OrganizationsWrite) {
			return nil, &Forbidden{permission.OrganizationsWrite}
		}
		err = o.callHost(ctx, host.Host)
	default:
		return nil, &Invalid{Field: "proof", Message: "it must be " + ProofDNS + " or " + ProofHTTPS}
	}
	if err != nil {
		return nil, err
	}
	if host.VerifiedAt != nil {
		return host, nil
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.db.VerifyHost(ctx, host, proof); err != nil {
			return err
		}
		return o.audit(ctx, "host.verified", host.Host, map[string]any{"proof": proof})
	})
	switch {
	case errors.Is(err, storage.ErrConflict):
		return nil, &Conflict{Field: "host", Message: "another organization has it"}
	case errors.Is(err, storage.ErrSpent): // somebody else has proven it for us
		return o.db.Host(ctx, host.Host)
	case err != nil:
		return nil, during("verify host", err)
	}
	return host, nil
}

// canonical is a name as it stands in the database, if it is one that could stand there.
func canonical(name string) string {
	host, err := identity.Domain(name)
	if err != nil {
		return ""
	}
	return host
}

// lookAtRecord looks for the TXT record of a claim.
func (o *Operators) lookAtRecord(ctx context.Context, host *storage.Host) error {
	if o.outside.Names == nil {
		return errors.New("verify host: there is nobody to ask for names")
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpFor)
	defer cancel()
	name, want := HostRecord(host)
	found, err := o.outside.Names.LookupTXT(ctx, name+".") // as it is, whatever domain this machine is searched in
	if err != nil {
		o.log.InfoContext(ctx, "a host could not be proven", "host", host.Host, "cause", err)
		return unproven("the name server has no TXT record %s yet; it must say %s", name, want)
	}
	if !slices.Contains(found, want) {
		return unproven("the TXT record %s does not say %s", name, want)
	}
	return nil
}

// callHost looks whether this installation is reached under a host.
func (o *Operators) callHost(ctx context.Context, host string) error {
	if o.outside.Fetch == nil || o.outside.Keyring == nil {
		return errors.New("verify host: there is nobody to fetch by")
	}
	nonce := rand.Text()
	answer, err := o.outside.Fetch.Get(ctx, httpsOf(host)+HostProofPath+"/"+nonce, "text/plain", maxAnswer)
	if err != nil {
		o.log.InfoContext(ctx, "a host could not be proven", "host", host, "cause", outbound.Cause(err))
		return unproven("https://%s%s does not answer as this server would", host, HostProofPath)
	}
	if !o.outside.Keyring.VerifyMAC(purposeHost, strings.TrimSpace(string(answer)), host, nonce) {
		return unproven("https://%s%s is answered by another server", host, HostProofPath)
	}
	return nil
}

// RemoveHost gives up a host, or the claim to it. One that is the issuer, or is about to be, is a Conflict. What was issued under it stays
// the organization's: it is known by the organization's own keys, whoever has the host.
func (o *Operators) RemoveHost(ctx context.Context, name string) error {
	in, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	host := canonical(name)
	err = o.changeHosts(ctx, in.Slug, func(ctx context.Context, org *storage.Organization, now time.Time) (bool, error) {
		found, err := o.db.Host(ctx, host)
		if err != nil {
			return false, err
		}
		if org.IssuerHostAt(now) == host {
			return false, &Conflict{Field: "host", Message: "it is the issuer: make another address the issuer first"}
		}
		if next, _, planned := org.PlannedIssuerHost(now); planned && next == host {
			return false, &Conflict{Field: "host", Message: "it is about to be the issuer: take that back first"}
		}
		if err := o.db.DeleteHost(ctx, host); err != nil {
			return false, err
		}
		return true, o.audit(ctx, "host.removed", host, map[string]any{
			"before": map[string]any{"verified_at": timeOrNil(found.VerifiedAt)}, "after": nil,
		})
	})
	if err != nil {
		return during("remove host", err)
	}
	return nil
}

// IssuerChange is which address is to be the issuer of an organization, and when.
type IssuerChange struct {
	// Host is one that the organization has proven. Empty is the address below the base.
	Host string
	// From is since when it is the issuer; zero is as soon as may be.
	From time.Time
	// Unannounced lets it be sooner than the applications of the organization can prepare for.
	Unannounced bool
}

// SetIssuerHost plans that a host of the organization of ctx, or its address below the base, becomes its issuer: in a day at the soonest,
// unless it is to be unannounced. From that moment on, on every replica, everything that it issues has the new issuer, and its addresses
// before lead nowhere; the keys stay, and what was issued before goes on. To name the issuer that it has takes back what was planned.
func (o *Operators) SetIssuerHost(ctx context.Context, to IssuerChange) (org *storage.Organization, err error) {
	in, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if to.Host != "" {
		if to.Host = canonical(to.Host); to.Host == "" {
			return nil, during("set issuer host", storage.ErrNotFound)
		}
	}
	if o.development && to.Host != "" {
		return nil, &Invalid{Field: "host", Message: "development serves http://localhost only, and a host is served by https"}
	}
	err = o.changeHosts(ctx, in.Slug, func(ctx context.Context, row *storage.Organization, now time.Time) (bool, error) {
		org = row
		if to.Host != "" {
			host, err := o.db.Host(ctx, to.Host)
			if err != nil {
				return false, err
			}
			if host.VerifiedAt == nil {
				return false, &Conflict{Field: "host", Message: "it is not proven yet that the host is the organization's"}
			}
		}
		before, _ := o.addresses.Issuer(org, now)
		plannedHost, plannedFrom, planned := org.PlannedIssuerHost(now)
		if to.Host == org.IssuerHostAt(now) {
			if !planned {
				return false, nil
			}
			org.PlanIssuerHost(now, to.Host, now)
			return true, o.audit(ctx, "organization.issuer_retained", org.Slug, map[string]any{
				"issuer": before, "planned": o.issuerOf(org, plannedHost), "from": plannedFrom.Format(time.RFC3339),
			})
		}
		from, err := to.from(now)
		if err != nil {
			return false, err
		}
		org.PlanIssuerHost(now, to.Host, from)
		after := o.issuerOf(org, to.Host)
		o.log.InfoContext(ctx, "the issuer of an organization is going to change", "organization", org.Slug, "before", before, "after", after, "from", from)
		return true, o.audit(ctx, "organization.issuer_planned", org.Slug, map[string]any{
			"before": map[string]any{"issuer": before}, "after": map[string]any{"issuer": after},
			"from": from.Format(time.RFC3339), "unannounced": from.Sub(now) < notice-dawdle,
		})
	})
	if err != nil {
		return nil, during("set issuer host", err)
	}
	return org, nil
}

func (o *Operators) issuerOf(org *storage.Organization, host string) string {
	if host != "" {
		return httpsOf(host)
	}
	issuer, _ := o.addresses.below(org)
	return issuer
}

// from is since when a change holds that is asked for now.
func (to *IssuerChange) from(now time.Time) (time.Time, error) {
	from, soonest := to.From, now.Add(notice)
	if to.Unannounced {
		soonest = now
	}
	switch {
	case from.IsZero() || from.Before(now) && to.Unannounced:
		return soonest, nil
	case from.Before(soonest.Add(-dawdle)):
		return from, &Invalid{Field: "from", Message: "it must be 24 hours ahead at least, so that applications can prepare, unless it is to be unannounced"}
	case from.After(now.Add(maxNotice)):
		return from, &Invalid{Field: "from", Message: "it must be within a year"}
	}
	return from.UTC(), nil
}

// changeHosts runs a deed on the hosts of an organization, and writes down in it that, and how, it was changed. Whoever changes the hosts of
// the same organization at once comes before or after: what each has seen there still holds when it is done.
func (o *Operators) changeHosts(
	ctx context.Context, slug string, deed func(context.Context, *storage.Organization, time.Time) (changed bool, err error),
) (err error) {
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) error {
			org, err := o.db.OrganizationBySlug(ctx, slug)
			if err != nil {
				return err
			}
			changed, err := deed(within(ctx, org), org, time.Now().UTC())
			if err != nil || !changed {
				return err
			}
			return o.db.SetIssuerHost(ctx, org)
		})
		var conflict *Conflict
		if !errors.Is(err, storage.ErrConflict) || errors.As(err, &conflict) {
			return err
		}
	}
	return err
}
