package people

import (
	"context"
	"errors"

	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
)

// take uses a limit once, for a subject. One that is used up is a *throttle.Exceeded, and written down: who did it, and to whom.
func (p *People) take(ctx context.Context, who visitor.Visitor, limit throttle.Limit, subject, actor, target string) error {
	err := p.db.Take(ctx, limit, subject)
	var exceeded *throttle.Exceeded
	if !errors.As(err, &exceeded) {
		return err
	}
	return p.reached(ctx, who, limit.Name, subject, actor, target, map[string]any{}, err)
}

// takeFrom uses two limits once: that of the network that a visitor comes from, and that of the organization.
func (p *People) takeFrom(ctx context.Context, who visitor.Visitor, network, organization throttle.Limit) error {
	if err := p.take(ctx, who, network, throttle.Network(who.Address), Anonymous, ""); err != nil {
		return err
	}
	return p.take(ctx, who, organization, "", Anonymous, "")
}

// reached writes down that a limit is used up for a subject, and returns answer. It is written once in a while: a stranger who goes on
// would fill the audit (S-282).
func (p *People) reached(
	ctx context.Context, who visitor.Visitor, limit, subject, actor, target string, facts map[string]any, answer error,
) error {
	err := p.db.Take(ctx, throttle.Notice(limit), subject)
	var again *throttle.Exceeded
	if errors.As(err, &again) {
		return answer
	}
	if err != nil {
		return err
	}
	facts["limit"] = limit
	if err := p.audit(ctx, who, actor, "limit.reached", target, facts); err != nil {
		return err
	}
	return answer
}
