package account

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/useragent"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Sessions serves GET /account/sessions.
func (a *Account) Sessions(c *gin.Context, v *visit) error {
	ctx := c.Request.Context()
	sessions, err := a.db.SessionsOfUser(ctx, v.user.ID, a.sessions.UsedSince(v.org))
	if err != nil {
		return err
	}
	devices, err := a.people.Devices(ctx, v.user.ID)
	if err != nil {
		return err
	}
	page := web.AccountSessionsPage{
		AccountFrame: a.frame(c, v, "/sessions"), Outcome: done(c), End: a.form(c, v, "/sessions/end"),
		EndOthers: a.form(c, v, "/sessions/end-others"), Forget: a.form(c, v, "/devices/forget"),
	}
	for _, s := range sessions {
		page.Sessions = append(page.Sessions, web.AccountSession{
			ID: s.ID.String(), Agent: useragent.Readable(s.UserAgent), Address: text(s.IPAddress), Current: s.ID == v.session.ID,
			Begun: v.moment(s.CreatedAt), Used: v.moment(s.LastUsedAt),
		})
	}
	this := a.sessions.Device(ctx, c)
	for _, d := range devices {
		device := web.AccountDevice{
			ID: d.ID.String(), Agent: useragent.Readable(d.UserAgent), Known: v.moment(d.CreatedAt), Seen: v.moment(d.LastSeenAt),
			Current: this != "" && secret.Equal(d.Token, secret.Digest(this)),
		}
		if d.Trusted(time.Now()) {
			until := v.moment(*d.TrustedUntil)
			device.Trusted = &until
		}
		page.Devices = append(page.Devices, device)
	}
	return a.pages.Render(c, http.StatusOK, "account_sessions", page)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// named is the id that a form of the page at path names. One that is none names nothing.
func named(v *visit, field, path string) (uuid.UUID, error) {
	id, err := storage.ParseID(v.form.Get(field))
	if err != nil {
		return uuid.Nil, errGone(err, v.at(path))
	}
	return id, nil
}

// EndSession serves POST /account/sessions/end. The session at hand is ended like any other, by whoever means it so.
func (a *Account) EndSession(c *gin.Context, v *visit) error {
	id, err := named(v, "session", "/sessions")
	if err != nil {
		return err
	}
	if id == v.session.ID {
		return a.SignOut(c, v)
	}
	err = a.people.EndSession(c.Request.Context(), a.pages.Visitor(c), v.user.ID, id)
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at("/sessions"))
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/sessions", "session")
	return nil
}

// EndOtherSessions serves POST /account/sessions/end-others.
func (a *Account) EndOtherSessions(c *gin.Context, v *visit) error {
	if _, err := a.people.EndOtherSessions(c.Request.Context(), a.pages.Visitor(c), v.user.ID, v.session.ID); err != nil {
		return err
	}
	a.back(c, v, "/sessions", "sessions")
	return nil
}

// ForgetDevice serves POST /account/devices/forget.
func (a *Account) ForgetDevice(c *gin.Context, v *visit) error {
	id, err := named(v, "device", "/sessions")
	if err != nil {
		return err
	}
	err = a.people.ForgetDevice(c.Request.Context(), a.pages.Visitor(c), v.user.ID, id)
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at("/sessions"))
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/sessions", "device")
	return nil
}
