package account

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// eventsOfPage is how many events a page shows.
const eventsOfPage = 25

const paramBefore = "before"

// Activity serves GET /account/activity.
func (a *Account) Activity(c *gin.Context, v *visit) error {
	before := cursor(c.Query(paramBefore))
	events, err := a.people.Activity(c.Request.Context(), v.user.ID, before, eventsOfPage+1)
	if err != nil {
		return err
	}
	page := web.AccountActivityPage{AccountFrame: a.frame(c, v, "/activity")}
	if before != nil {
		page.Newer = v.at("/activity")
	}
	if len(events) > eventsOfPage {
		events = events[:eventsOfPage]
		page.Older = v.at("/activity") + "?" + url.Values{paramBefore: {written(events[eventsOfPage-1])}}.Encode()
	}
	names := make(map[string]string)
	for _, event := range events {
		shown := told(v, event)
		if shown.Client, err = a.called(c, shown.Client, names); err != nil {
			return err
		}
		page.Events = append(page.Events, shown)
	}
	return a.pages.Render(c, http.StatusOK, "account_activity", page)
}

// called is the name of an application; of one that is gone, or has none, it is the identifier.
func (a *Account) called(c *gin.Context, clientID string, known map[string]string) (string, error) {
	if name, ok := known[clientID]; ok || clientID == "" {
		return name, nil
	}
	known[clientID] = clientID
	client, err := a.db.Client(c.Request.Context(), clientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", err
	}
	if err == nil && client.Name != "" {
		known[clientID] = client.Name
	}
	return known[clientID], nil
}

// deeds are what events are called, by the name of the action.
var deeds = map[string]string{
	"session.stepped_up":            "activity.session.stepped_up",
	"session.step_up_cancelled":     "activity.session.step_up_cancelled",
	"user.signed_in":                "activity.user.signed_in",
	"user.signed_out":               "activity.user.signed_out",
	"user.sign_in_failed":           "activity.user.sign_in_failed",
	"user.sign_in_cancelled":        "activity.user.sign_in_cancelled",
	"user.created":                  "activity.user.created",
	"user.updated":                  "activity.user.updated",
	"user.disabled":                 "activity.user.disabled",
	"user.enabled":                  "activity.user.enabled",
	"user.profile_changed":          "activity.user.profile_changed",
	"user.email_change_requested":   "activity.user.email_change_requested",
	"user.email_changed":            "activity.user.email_changed",
	"user.email_change_undone":      "activity.user.email_change_undone",
	"user.email_verified":           "activity.user.email_verified",
	"user.verification_sent":        "activity.user.verification_sent",
	"user.password_changed":         "activity.user.password_changed",
	"user.password_set":             "activity.user.password_set",
	"user.password_reset":           "activity.user.password_reset",
	"user.password_reset_requested": "activity.user.password_reset_requested",
	"user.password_reset_sent":      "activity.user.password_reset_sent",
	"user.reclaimed":                "activity.user.reclaimed",
	"user.roles_mapped":             "activity.user.roles_mapped",
	"linked_account.added":          "activity.linked_account.added",
	"linked_account.removed":        "activity.linked_account.removed",
	"provider_token.revealed":       "activity.provider_token.revealed",
	"user.exported":                 "activity.user.exported",
	"user.factor_failed":            "activity.user.factor_failed",
	"user.factors_reset":            "activity.user.factors_reset",
	"session.ended":                 "activity.session.ended",
	"consent.granted":               "activity.consent.granted",
	"consent.denied":                "activity.consent.denied",
	"application.revoked":           "activity.application.revoked",
	"grant.revoked":                 "activity.grant.revoked",
	"token.revoked":                 "activity.token.revoked",
	"device.added":                  "activity.device.added",
	"device.forgotten":              "activity.device.forgotten",
	"device.trusted":                "activity.device.trusted",
	"limit.reached":                 "activity.limit.reached",
	"passkey.added":                 "activity.passkey.added",
	"passkey.renamed":               "activity.passkey.renamed",
	"passkey.removed":               "activity.passkey.removed",
	"passkey.cloned":                "activity.passkey.cloned",
	"authenticator.added":           "activity.authenticator.added",
	"authenticator.removed":         "activity.authenticator.removed",
	"recovery_codes.made":           "activity.recovery_codes.made",
	"recovery_code.used":            "activity.recovery_code.used",
	"email_code.sent":               "activity.email_code.sent",
	"setup.completed":               "activity.setup.completed",
}

// told is an event in words. What an operator or an application did is shown, and where they sat is not.
func told(v *visit, event storage.AuditEvent) web.AccountEvent {
	shown := web.AccountEvent{Text: deeds[event.Action], At: v.moment(event.CreatedAt)}
	if shown.Text == "" {
		shown.Text, shown.Action = "activity.other", event.Action
	}
	shown.Client, _ = event.Details["client_id"].(string)
	switch {
	case event.Actor == web.ByUser(v.user.ID):
		shown.Address = text(event.IPAddress)
	case event.Actor == web.Anonymous:
		shown.Address, shown.By = text(event.IPAddress), "activity.by_stranger"
	case strings.HasPrefix(event.Actor, "client:"):
		shown.By = "activity.by_application"
	default:
		shown.By = "activity.by_operator"
	}
	return shown
}

// written is the place of an event in an address; cursor reads it, and takes what it cannot read for the beginning.
func written(event storage.AuditEvent) string {
	return strconv.FormatInt(event.CreatedAt.UnixMicro(), 10) + "_" + event.ID.String()
}

func cursor(text string) *storage.AuditEvent {
	at, id, ok := strings.Cut(text, "_")
	micro, err := strconv.ParseInt(at, 10, 64)
	const latest = 1 << 52 // microseconds; beyond it a database has no time
	if !ok || err != nil || micro < 0 || micro > latest {
		return nil
	}
	parsed, err := storage.ParseID(id)
	if err != nil {
		return nil
	}
	return &storage.AuditEvent{ID: parsed, CreatedAt: time.UnixMicro(micro).UTC()}
}
