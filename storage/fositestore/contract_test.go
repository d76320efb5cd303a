package fositestore_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

const (
	api       = "https://api.example"
	otherAPI  = "https://other.example"
	callback  = "https://rp.example/cb"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// scene is an organization with a person and a client, and the store that fosite would stand on.
type scene struct {
	t      *testing.T
	ctx    context.Context
	db     *storage.DB
	store  *fositestore.Store
	client *fositestore.Client
	user   *storage.User
}

func stage(t *testing.T, db *storage.DB, slug string) *scene {
	t.Helper()
	ctx := requestid.With(storagetest.Org(t, db, slug), "the-request")
	user := &storage.User{Email: slug + "@example.com", PasswordHash: "!", IsActive: true}
	if err := db.CreateUser(ctx, user); err != nil {
		t.Fatal(err)
	}
	row := &storage.Client{
		ClientID: "app", Name: "App", AuthMethod: "client_secret_basic", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"}, Scopes: []string{"openid", "email", "offline_access"}, Audience: []string{api, otherAPI}, IDTokenAlg: "ES256",
		AccessTokenFormat: "opaque",
	}
	if err := db.CreateClient(ctx, row); err != nil {
		t.Fatal(err)
	}
	clients := fositestore.NewClients(db)
	client, err := clients.Client(ctx, row.ClientID)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{t: t, ctx: ctx, db: db, store: fositestore.New(db, clients), client: client, user: user}
}

// begin is a request of the scene's client.
func (s *scene) begin() (context.Context, *fositestore.Unit) {
	ctx, unit := s.store.Begin(s.ctx)
	unit.Client, unit.Address = s.client, "192.0.2.7"
	return ctx, unit
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) facts() fositestore.Facts {
	return fositestore.Facts{AuthTime: 1_700_000_000, ACR: "1", AMR: []string{"pwd", "otp"}, SessionID: uuid.Nil.String(), Nonce: "the-nonce"}
}

// request is one as fosite hands it over.
func (s *scene) request(session *fositestore.Session) *fosite.Request {
	return &fosite.Request{
		RequestedAt: time.Now().UTC(), Client: s.client, Session: session,
		GrantedScope: fosite.Arguments{"openid", "offline_access"}, GrantedAudience: fosite.Arguments{api, otherAPI},
		Form: url.Values{"redirect_uri": {callback}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}},
	}
}

// code issues an authorization code and returns its digest.
func (s *scene) code(lifetime time.Duration) string {
	s.t.Helper()
	digest := secret.Digest(secret.New(secret.Code))
	ctx, unit := s.begin()
	session := &fositestore.Session{Subject: s.user.ID.String(), Facts: s.facts()}
	session.SetExpiresAt(fosite.AuthorizeCode, time.Now().UTC().Add(lifetime))
	s.must(s.store.CreateAuthorizeCodeSession(ctx, digest, s.request(session)))
	s.must(unit.Commit(ctx, nil))
	return digest
}

// tokens are the digests of what an exchange issues.
type tokens struct{ access, refresh string }

func fresh() tokens {
	return tokens{secret.Digest(secret.New(secret.AccessToken)), secret.Digest(secret.New(secret.RefreshToken))}
}

// redemption asks the store what fosite asks it while a code is exchanged. Nothing is written.
func (s *scene) redemption(code string, issued tokens) (context.Context, *fositestore.Unit) {
	s.t.Helper()
	ctx, unit := s.begin()
	found, err := s.store.GetAuthorizeCodeSession(ctx, code, &fositestore.Session{})
	s.must(err)
	s.must(s.store.InvalidateAuthorizeCodeSession(ctx, code))
	s.issue(ctx, found, issued)
	return ctx, unit
}

// rotation is the same for a refresh token.
func (s *scene) rotation(refresh string, issued tokens, window time.Duration) (context.Context, *fositestore.Unit) {
	s.t.Helper()
	ctx, unit := s.begin()
	unit.AllowReplay(window)
	found, err := s.store.GetRefreshTokenSession(ctx, refresh, &fositestore.Session{})
	s.must(err)
	s.must(s.store.RotateRefreshToken(ctx, found.GetID(), refresh))
	s.issue(ctx, found, issued)
	return ctx, unit
}

func (s *scene) issue(ctx context.Context, found fosite.Requester, issued tokens) {
	s.t.Helper()
	_, session, err := fositestore.Ours(found)
	s.must(err)
	session.SetExpiresAt(fosite.AccessToken, time.Now().UTC().Add(time.Minute))
	session.SetExpiresAt(fosite.RefreshToken, time.Now().UTC().Add(time.Hour))
	if session.GrantEnds.IsZero() {
		session.GrantEnds = time.Now().UTC().Add(24 * time.Hour)
	}
	s.must(s.store.CreateAccessTokenSession(ctx, issued.access, found))
	s.must(s.store.CreateRefreshTokenSession(ctx, issued.refresh, issued.access, found))
}

// redeem exchanges a code for tokens.
func (s *scene) redeem(code string) tokens {
	s.t.Helper()
	issued := fresh()
	ctx, unit := s.redemption(code, issued)
	s.must(unit.Commit(ctx, nil))
	return issued
}

// grant is that of a refresh token, nil when the family has ended.
func (s *scene) grant(refresh string) *storage.Grant {
	s.t.Helper()
	_, grant, err := s.db.RefreshToken(s.ctx, refresh)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	s.must(err)
	return grant
}

// there reports whether a code, an access token and a refresh token are.
func (s *scene) there(code string, issued tokens) (used, access, refresh bool) {
	s.t.Helper()
	row, err := s.db.Code(s.ctx, code)
	s.must(err)
	_, _, err = s.db.AccessToken(s.ctx, issued.access)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		s.t.Fatal(err)
	}
	return row.UsedAt != nil, err == nil, s.grant(issued.refresh) != nil
}

// audited counts the events of a kind, and looks at each.
func (s *scene) audited(action string) int {
	s.t.Helper()
	events, err := s.db.ListAudit(s.ctx, storage.AuditFilter{})
	s.must(err)
	n := 0
	for _, event := range events {
		if event.Action != action {
			continue
		}
		n++
		if event.Actor != "client:app" || event.RequestID != "the-request" || event.IPAddress == nil || *event.IPAddress != "192.0.2.7" ||
			event.Details["client_id"] != "app" || uuid.Validate(event.Target) != nil {
			s.t.Errorf("%+v", event)
		}
	}
	return n
}

func each(t *testing.T, test func(s *scene)) {
	t.Helper()
	storagetest.Each(t, func(t *testing.T, db *storage.DB) { test(stage(t, db, "acme")) })
}

func TestACodeComesBackWithAllThatItWasIssuedWith(t *testing.T) {
	each(t, func(s *scene) {
		code := s.code(time.Minute)
		ctx, unit := s.begin()
		found, err := s.store.GetAuthorizeCodeSession(ctx, code, &fositestore.Session{})
		s.must(err)
		client, session, err := fositestore.Ours(found)
		s.must(err)
		facts := session.Facts
		if client.ClientID != "app" || session.Subject != s.user.ID.String() || facts.AuthTime != s.facts().AuthTime || facts.Nonce != "the-nonce" ||
			facts.ACR != "1" || !slices.Equal(facts.AMR, s.facts().AMR) || facts.SessionID != s.facts().SessionID {
			s.t.Errorf("%+v of %s", session, client.ClientID)
		}
		if !slices.Equal(found.GetGrantedScopes(), fosite.Arguments{"openid", "offline_access"}) ||
			!slices.Equal(found.GetGrantedAudience(), fosite.Arguments{api, otherAPI}) || found.GetRequestForm().Get("redirect_uri") != callback {
			s.t.Errorf("%v %v %v", found.GetGrantedScopes(), found.GetGrantedAudience(), found.GetRequestForm())
		}
		if row := unit.Code(); row.CodeChallenge != challenge || row.CodeChallengeMethod != "S256" || found.GetID() != row.GrantID.String() {
			s.t.Errorf("%+v", row)
		}
		if read, err := fositestore.CodeOf(ctx); err != nil || read != unit.Code() {
			s.t.Errorf("%v, %v", read, err)
		}
	})
}

func TestAUsedCodeComesBackWithItsRequest(t *testing.T) {
	each(t, func(s *scene) {
		for _, lifetime := range []time.Duration{time.Minute, 1100 * time.Millisecond} {
			code := s.code(lifetime)
			s.redeem(code)
			if lifetime < time.Minute {
				<-time.After(lifetime) // its expiry does not make a used code unknown
			}
			ctx, unit := s.begin()
			found, err := s.store.GetAuthorizeCodeSession(ctx, code, &fositestore.Session{})
			if !errors.Is(err, fosite.ErrInvalidatedAuthorizeCode) || found == nil || found.GetID() != unit.Code().GrantID.String() || found.GetSession() == nil {
				s.t.Errorf("%v, %v", found, err)
			}
		}
	})
}

func TestASpentRefreshTokenComesBackWithItsRequest(t *testing.T) {
	each(t, func(s *scene) {
		first := s.redeem(s.code(time.Minute))
		ctx, unit := s.rotation(first.refresh, fresh(), 0)
		s.must(unit.Commit(ctx, nil))
		ctx, _ = s.begin()
		found, err := s.store.GetRefreshTokenSession(ctx, first.refresh, &fositestore.Session{})
		if !errors.Is(err, fosite.ErrInactiveToken) || found == nil || found.GetID() != s.grant(first.refresh).ID.String() || found.GetSession() == nil {
			s.t.Errorf("%v, %v", found, err)
		}
	})
}

func TestWhatIsUnknownExpiredOrAnothersIsNotFound(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s, other := stage(t, db, "acme"), stage(t, db, "rival")
		live := s.redeem(s.code(time.Minute))
		ctx, _ := s.begin()
		for name, code := range map[string]string{"empty": "", "unknown": secret.Digest("x"), "expired": s.code(-time.Second), "another's": other.code(time.Minute)} {
			if found, err := s.store.GetAuthorizeCodeSession(ctx, code, &fositestore.Session{}); !errors.Is(err, fosite.ErrNotFound) || found != nil {
				t.Errorf("%s code: %v, %v", name, found, err)
			}
		}
		expired := secret.Digest("expired")
		s.must(db.CreateRefreshToken(s.ctx, &storage.RefreshToken{
			Digest: expired, GrantID: s.grant(live.refresh).ID, ClientID: "app", ExpiresAt: time.Now().Add(-time.Second),
		}))
		ended := s.redeem(s.code(time.Minute))
		_, err := db.RevokeGrant(s.ctx, s.grant(ended.refresh).ID)
		s.must(err)
		for name, refresh := range map[string]string{
			"empty": "", "unknown": secret.Digest("x"), "expired": expired, "of an ended family": ended.refresh,
			"another's": other.redeem(other.code(time.Minute)).refresh,
		} {
			if found, err := s.store.GetRefreshTokenSession(ctx, refresh, &fositestore.Session{}); !errors.Is(err, fosite.ErrNotFound) || found != nil {
				t.Errorf("refresh token %s: %v, %v", name, found, err)
			}
		}
		for _, id := range []string{"", "nobody", "a\x00b", "\xff"} {
			if client, err := s.store.GetClient(ctx, id); !errors.Is(err, fosite.ErrNotFound) || client != nil {
				t.Errorf("client %q: %v, %v", id, client, err)
			}
		}
	})
}

func TestEveryReadHasASessionOfItsOwn(t *testing.T) {
	each(t, func(s *scene) {
		code := s.code(time.Minute)
		issued := s.redeem(s.code(time.Minute))
		ctx, _ := s.begin()
		for name, read := range map[string]func() (fosite.Requester, error){
			"code":          func() (fosite.Requester, error) { return s.store.GetAuthorizeCodeSession(ctx, code, nil) },
			"refresh token": func() (fosite.Requester, error) { return s.store.GetRefreshTokenSession(ctx, issued.refresh, nil) },
		} {
			one, err := read()
			s.must(err)
			_, session, err := fositestore.Ours(one)
			s.must(err)
			session.Facts.AMR[0], session.Subject = "changed", "changed"
			session.SetExpiresAt(fosite.AccessToken, time.Now())
			one.GetGrantedScopes()[0] = "changed"
			two, err := read()
			s.must(err)
			_, session, err = fositestore.Ours(two)
			s.must(err)
			if session.Subject != s.user.ID.String() || session.Facts.AMR[0] != "pwd" || !session.GetExpiresAt(fosite.AccessToken).IsZero() {
				s.t.Errorf("%s: %+v", name, session)
			}
			if name == "refresh token" && two.GetGrantedScopes()[0] != "openid" { // the code's row is read once a request
				s.t.Errorf("%s: %v", name, two.GetGrantedScopes())
			}
			clone, ok := session.Clone().(*fositestore.Session)
			if !ok || clone == session {
				s.t.Fatalf("%s: the clone is %T", name, clone)
			}
			if clone.Facts.AMR[0] = "changed"; session.Facts.AMR[0] != "pwd" {
				s.t.Errorf("%s: the clone shares its facts", name)
			}
		}
	})
}

func TestNothingIsWrittenBeforeCommit(t *testing.T) {
	each(t, func(s *scene) {
		code, issued := s.code(time.Minute), fresh()
		ctx, unit := s.redemption(code, issued)
		if used, access, refresh := s.there(code, issued); used || access || refresh {
			s.t.Errorf("before: code used %v, access token %v, refresh token %v", used, access, refresh)
		}
		s.must(unit.Commit(ctx, nil))
		if used, access, refresh := s.there(code, issued); !used || !access || !refresh {
			s.t.Errorf("after: code used %v, access token %v, refresh token %v", used, access, refresh)
		}
		// The nonce was the first ID token's alone.
		facts, err := fositestore.FactsOf(s.grant(issued.refresh))
		if err != nil || facts.Nonce != "" || facts.AuthTime != s.facts().AuthTime {
			s.t.Errorf("%+v, %v", facts, err)
		}
	})
}

// Each write of a commit is made to fail: by a row that stands in its place already, and by a deed that joins it.
func TestACommitIsWholeOrNothing(t *testing.T) {
	each(t, func(s *scene) {
		taken := s.redeem(s.code(time.Minute))
		deed := errors.New("the deed failed")
		for name, test := range map[string]struct {
			issued tokens
			also   []func(context.Context) error
			want   error
		}{
			"the access token is there already":  {tokens{taken.access, fresh().refresh}, nil, storage.ErrConflict},
			"the refresh token is there already": {tokens{fresh().access, taken.refresh}, nil, storage.ErrConflict},
			"a deed that joins it fails":         {fresh(), []func(context.Context) error{func(context.Context) error { return deed }}, deed},
		} {
			code := s.code(time.Minute)
			ctx, unit := s.redemption(code, test.issued)
			if err := unit.Commit(ctx, nil, test.also...); !errors.Is(err, test.want) {
				s.t.Errorf("%s: %v", name, err)
			}
			used, access, refresh := s.there(code, test.issued)
			if used || access && test.issued.access != taken.access || refresh && test.issued.refresh != taken.refresh {
				s.t.Errorf("%s: code used %v, access token %v, refresh token %v", name, used, access, refresh)
			}
			s.redeem(code) // which is as good as before
		}

		// The same for a rotation.
		ctx, unit := s.rotation(taken.refresh, tokens{taken.access, fresh().refresh}, time.Minute)
		if err := unit.Commit(ctx, []byte("answer")); !errors.Is(err, storage.ErrConflict) {
			s.t.Error(err)
		}
		ctx, unit = s.rotation(taken.refresh, fresh(), time.Minute)
		s.must(unit.Commit(ctx, []byte("answer")))
	})
}

func TestOfManyWhoRedeemACodeOneWinsAndTheFamilyEnds(t *testing.T) {
	each(t, func(s *scene) {
		code := s.code(time.Minute)
		const racers = 8
		var wins, losses int
		var winner tokens
		var mu sync.Mutex
		var ready, wait sync.WaitGroup
		ready.Add(1) // until all have read the code unused
		for range racers {
			issued := fresh()
			ctx, unit := s.redemption(code, issued)
			wait.Go(func() {
				ready.Wait()
				err := unit.Commit(ctx, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					wins, winner = wins+1, issued
				case errors.Is(err, storage.ErrSpent):
					losses++
					if err := unit.LostRace(ctx); err != nil {
						s.t.Error(err)
					}
					if _, ok := unit.Replayed(); ok {
						s.t.Error("a code was answered twice")
					}
				default:
					s.t.Error(err)
				}
			})
		}
		ready.Done()
		wait.Wait()
		if wins != 1 || losses != racers-1 {
			s.t.Fatalf("%d won, %d lost", wins, losses)
		}
		if used, access, refresh := s.there(code, winner); !used || access || refresh {
			s.t.Errorf("code used %v, access token %v, refresh token %v", used, access, refresh)
		}
		if n := s.audited("grant.reuse_detected"); n != 1 {
			s.t.Errorf("written down %d times", n)
		}
	})
}

func TestOfManyWhoRefreshOneWinsAndTheOthersHaveItsAnswer(t *testing.T) {
	each(t, func(s *scene) {
		issued := s.redeem(s.code(time.Minute))
		var wins int
		var mu sync.Mutex
		var ready, wait sync.WaitGroup
		ready.Add(1) // until all have read the token unspent
		for range 8 {
			ctx, unit := s.rotation(issued.refresh, fresh(), time.Minute)
			if !unit.KeepsAnswer() {
				s.t.Error("the answer is not kept")
			}
			wait.Go(func() {
				ready.Wait()
				err := unit.Commit(ctx, []byte("the answer"))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					wins++
					return
				}
				if !errors.Is(err, storage.ErrSpent) {
					s.t.Error(err)
				}
				if err := unit.LostRace(ctx); err != nil {
					s.t.Error(err)
				}
				if answer, ok := unit.Replayed(); !ok || string(answer) != "the answer" {
					s.t.Errorf("%q, %v", answer, ok)
				}
			})
		}
		ready.Done()
		wait.Wait()
		if wins != 1 || s.grant(issued.refresh) == nil || s.audited("grant.reuse_detected") != 0 {
			s.t.Errorf("%d won, grant %v", wins, s.grant(issued.refresh))
		}
		// Who comes later, but soon, has it as well, and fosite is told to leave the family alone.
		ctx, unit := s.begin()
		unit.AllowReplay(time.Minute)
		if found, err := s.store.GetRefreshTokenSession(ctx, issued.refresh, nil); !errors.Is(err, fosite.ErrNotFound) || found != nil {
			s.t.Errorf("%v, %v", found, err)
		}
		if answer, ok := unit.Replayed(); !ok || string(answer) != "the answer" {
			s.t.Errorf("%q, %v", answer, ok)
		}
	})
}

// RFC 9700 §4.14.2: outside the window, without one, or in another client's hands, a spent token ends its family.
func TestARaceThatMayNotBeAnsweredEndsTheFamily(t *testing.T) {
	each(t, func(s *scene) {
		for name, spoil := range map[string]func(*fositestore.Unit){
			"there is no window":    func(u *fositestore.Unit) { u.AllowReplay(0) },
			"the window is over":    func(u *fositestore.Unit) { u.AllowReplay(time.Nanosecond) },
			"it is another client":  func(u *fositestore.Unit) { u.Client = other(s.client) },
			"nobody authenticated":  func(u *fositestore.Unit) { u.Client = nil },
			"no answer was kept":    nil,
			"the window is no more": func(u *fositestore.Unit) { u.AllowReplay(-time.Second) },
		} {
			issued := s.redeem(s.code(time.Minute))
			ctx, loser := s.rotation(issued.refresh, fresh(), time.Minute)
			winning, winner := s.rotation(issued.refresh, fresh(), time.Minute)
			answer := fositestore.RefreshAnswer("answer")
			if spoil == nil {
				answer = nil
			}
			s.must(winner.Commit(winning, answer))
			if err := loser.Commit(ctx, []byte("another")); !errors.Is(err, storage.ErrSpent) {
				s.t.Fatalf("%s: %v", name, err)
			}
			if spoil != nil {
				spoil(loser)
			}
			s.must(loser.LostRace(ctx))
			if answer, ok := loser.Replayed(); ok || s.grant(issued.refresh) != nil {
				s.t.Errorf("%s: answered with %q, grant %v", name, answer, s.grant(issued.refresh))
			}
			s.must(loser.LostRace(ctx)) // once more changes nothing
		}
	})
}

func other(client *fositestore.Client) *fositestore.Client {
	row := *client.Client
	row.ClientID = "another"
	return fositestore.NewClient(&row, "https://id.example")
}

func TestAReuseEndsTheFamilyAndIsWrittenDownOnce(t *testing.T) {
	each(t, func(s *scene) {
		code := s.code(time.Minute)
		issued := s.redeem(code)
		grant := s.grant(issued.refresh)
		for range 3 {
			ctx, unit := s.begin()
			found, err := s.store.GetAuthorizeCodeSession(ctx, code, nil)
			if !errors.Is(err, fosite.ErrInvalidatedAuthorizeCode) {
				s.t.Fatal(err)
			}
			s.must(s.store.RevokeAccessToken(ctx, found.GetID()))
			s.must(s.store.RevokeRefreshToken(ctx, found.GetID()))
			s.must(unit.Fault())
		}
		if s.grant(issued.refresh) != nil || s.audited("grant.reuse_detected") != 1 {
			s.t.Errorf("grant %v, written down %d times", s.grant(issued.refresh), s.audited("grant.reuse_detected"))
		}
		events, err := s.db.ListAudit(s.ctx, storage.AuditFilter{Limit: 1})
		if err != nil || events[0].Target != grant.ID.String() {
			s.t.Errorf("%+v, %v", events, err)
		}

		issued = s.redeem(s.code(time.Minute))
		ctx, unit := s.rotation(issued.refresh, fresh(), 0)
		s.must(unit.Commit(ctx, nil))
		ctx, unit = s.begin()
		found, err := s.store.GetRefreshTokenSession(ctx, issued.refresh, nil)
		if !errors.Is(err, fosite.ErrInactiveToken) {
			s.t.Fatal(err)
		}
		s.must(s.store.DeleteRefreshTokenSession(ctx, issued.refresh))
		s.must(s.store.RevokeRefreshToken(ctx, found.GetID()))
		s.must(unit.Fault())
		if s.grant(issued.refresh) != nil || s.audited("grant.reuse_detected") != 2 {
			s.t.Errorf("grant %v, written down %d times", s.grant(issued.refresh), s.audited("grant.reuse_detected"))
		}
		if err := s.store.RevokeRefreshToken(ctx, uuid.NewString()); !errors.Is(err, fosite.ErrNotFound) {
			s.t.Errorf("a grant that this request is not about: %v", err)
		}
	})
}

func TestABurntCodeIsUsedAndWrittenDown(t *testing.T) {
	each(t, func(s *scene) {
		ctx, unit := s.begin()
		s.must(unit.BurnCode(ctx)) // there is none
		code := s.code(time.Minute)
		_, err := s.store.GetAuthorizeCodeSession(ctx, code, nil)
		s.must(err)
		other, late := s.begin()
		_, err = s.store.GetAuthorizeCodeSession(other, code, nil)
		s.must(err)

		s.must(unit.BurnCode(ctx))
		s.must(late.BurnCode(other)) // who comes second has nothing left to burn
		if n := s.audited("code.burnt"); n != 1 {
			s.t.Errorf("written down %d times", n)
		}
		ctx, unit = s.begin()
		if _, err := s.store.GetAuthorizeCodeSession(ctx, code, nil); !errors.Is(err, fosite.ErrInvalidatedAuthorizeCode) {
			s.t.Error(err)
		}
		s.must(unit.BurnCode(ctx))
		if n := s.audited("code.burnt"); n != 1 {
			s.t.Errorf("written down %d times", n)
		}
	})
}

func TestAnAccessTokenMayBeNarrowedAndTheGrantIsNot(t *testing.T) {
	each(t, func(s *scene) {
		ctx, unit := s.begin()
		unit.NarrowTo([]string{otherAPI}, []string{"openid"})
		code, issued := s.code(time.Minute), fresh()
		found, err := s.store.GetAuthorizeCodeSession(ctx, code, nil)
		s.must(err)
		if !slices.Equal(found.GetGrantedAudience(), fosite.Arguments{otherAPI}) || !slices.Equal(found.GetGrantedScopes(), fosite.Arguments{"openid"}) {
			s.t.Errorf("%v %v", found.GetGrantedAudience(), found.GetGrantedScopes())
		}
		s.must(s.store.InvalidateAuthorizeCodeSession(ctx, code))
		s.issue(ctx, found, issued)
		s.must(unit.Commit(ctx, nil))
		token, grant, err := s.db.AccessToken(s.ctx, issued.access)
		if err != nil || !slices.Equal(token.Audience, []string{otherAPI}) || !slices.Equal(grant.Audience, []string{api, otherAPI}) ||
			!slices.Equal(token.Scope, []string{"openid"}) || !slices.Equal(grant.Scope, []string{"openid", "offline_access"}) {
			s.t.Errorf("token for %v at %v of a grant for %v at %v, %v", token.Scope, token.Audience, grant.Scope, grant.Audience, err)
		}
	})
}

func TestARefreshGetsNoMoreThanTheClientMayStillHave(t *testing.T) {
	each(t, func(s *scene) {
		issued := s.redeem(s.code(time.Minute))
		less := *s.client.Client
		less.Scopes, less.Audience = []string{"openid"}, []string{api}
		ctx, unit := s.begin()
		unit.Client = fositestore.NewClient(&less, "https://id.example")
		found, err := s.store.GetRefreshTokenSession(ctx, issued.refresh, nil)
		if err != nil || !slices.Equal(found.GetGrantedScopes(), fosite.Arguments{"openid"}) || !slices.Equal(found.GetGrantedAudience(), fosite.Arguments{api}) {
			s.t.Errorf("%v %v, %v", found.GetGrantedScopes(), found.GetGrantedAudience(), err)
		}
		less.Audience = nil
		ctx, unit = s.begin()
		unit.Client = fositestore.NewClient(&less, "https://id.example")
		if found, err := s.store.GetRefreshTokenSession(ctx, issued.refresh, nil); !errors.Is(err, fosite.ErrNotFound) || found != nil {
			s.t.Errorf("nothing is left of its audience: %v, %v", found, err)
		}
	})
}

// A client that hears invalid_grant throws its tokens away: while the database is away it must hear of that, from every
// question and from every write.
func TestAnOutageIsNeverARefusal(t *testing.T) {
	each(t, func(s *scene) {
		code, used := s.code(time.Minute), s.code(time.Minute)
		issued, spent := s.redeem(used), s.redeem(s.code(time.Minute))
		ctx, unit := s.rotation(spent.refresh, fresh(), 0)
		s.must(unit.Commit(ctx, nil))

		away := func() (context.Context, *fositestore.Unit) {
			over, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
			s.t.Cleanup(cancel)
			ctx, unit := s.store.Begin(over)
			return ctx, unit
		}
		unavailable := func(name string, err error) {
			s.t.Helper()
			if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, fosite.ErrNotFound) {
				s.t.Errorf("%s: %v", name, err)
			}
		}
		ctx, _ = away()
		_, err := s.store.GetAuthorizeCodeSession(ctx, code, nil)
		unavailable("read a code", err)
		_, err = s.store.GetRefreshTokenSession(ctx, issued.refresh, nil)
		unavailable("read a refresh token", err)
		_, err = s.store.GetClient(ctx, "another")
		unavailable("read a client", err)

		ctx, unit = s.redemption(code, fresh())
		over, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer cancel()
		unavailable("commit", unit.Commit(over, nil))
		unavailable("burn", unit.BurnCode(over))
		if used, _, _ := s.there(code, fresh()); used {
			s.t.Error("the outage has used a code")
		}

		ctx, unit = s.begin()
		found, err := s.store.GetAuthorizeCodeSession(ctx, used, nil)
		if !errors.Is(err, fosite.ErrInvalidatedAuthorizeCode) {
			s.t.Fatal(err)
		}
		over, cancel = context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer cancel()
		unavailable("end a family", s.store.RevokeRefreshToken(over, found.GetID()))
		unavailable("end a family, past fosite", unit.Fault()) // which makes invalid_grant of it
		if s.grant(issued.refresh) == nil {
			s.t.Error("the outage has ended a family")
		}
	})
}

func TestWithoutAUnitNothingIsWritten(t *testing.T) {
	s := stage(t, storagetest.DB(t), "acme")
	request := s.request(&fositestore.Session{Subject: s.user.ID.String()})
	_, codeErr := s.store.GetAuthorizeCodeSession(s.ctx, "x", nil)
	_, refreshErr := s.store.GetRefreshTokenSession(s.ctx, "x", nil)
	for name, err := range map[string]error{
		"code": codeErr, "refresh token": refreshErr,
		"create code":          s.store.CreateAuthorizeCodeSession(s.ctx, "x", request),
		"invalidate code":      s.store.InvalidateAuthorizeCodeSession(s.ctx, "x"),
		"create access token":  s.store.CreateAccessTokenSession(s.ctx, "x", request),
		"create refresh token": s.store.CreateRefreshTokenSession(s.ctx, "x", "y", request),
		"rotate":               s.store.RotateRefreshToken(s.ctx, "x", "y"),
		"revoke":               s.store.RevokeRefreshToken(s.ctx, uuid.NewString()),
	} {
		if err == nil || errors.Is(err, fosite.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A session or a client that is not ours holds nothing that could be stored.
	ctx, _ := s.begin()
	foreign := s.request(nil)
	foreign.Session = &fosite.DefaultSession{}
	stranger := s.request(&fositestore.Session{})
	stranger.Client = &fosite.DefaultClient{}
	for _, request := range []*fosite.Request{foreign, stranger} {
		for _, err := range []error{
			s.store.CreateAuthorizeCodeSession(ctx, "x", request), s.store.CreateAccessTokenSession(ctx, "x", request),
			s.store.CreateRefreshTokenSession(ctx, "x", "y", request),
		} {
			if err == nil {
				t.Error("a foreign type passes")
			}
		}
	}
}

func TestWhatKeizerDoesItselfIsRefusedThroughFosite(t *testing.T) {
	s := stage(t, storagetest.DB(t), "acme")
	if s.store.ClientAssertionJWTValid(s.ctx, "x") == nil || s.store.SetClientAssertionJWT(s.ctx, "x", time.Now()) == nil {
		t.Error("assertions pass")
	}
	issued := s.redeem(s.code(time.Minute))
	if _, err := s.store.GetAccessTokenSession(s.ctx, issued.access, nil); !errors.Is(err, fosite.ErrNotFound) {
		t.Errorf("introspection through fosite: %v", err)
	}
	if len(s.client.GetHashedSecret()) > 0 {
		t.Error("fosite is shown a secret")
	}
}

func TestAnAnswerOpensWithItsRefreshTokenAlone(t *testing.T) {
	token, answer := secret.New(secret.RefreshToken), []byte(`{"access_token":"x"}`)
	sealed, err := fositestore.SealAnswer(token, answer)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := fositestore.OpenAnswer(token, sealed); err != nil || string(opened) != string(answer) {
		t.Errorf("%q, %v", opened, err)
	}
	again, err := fositestore.SealAnswer(token, answer)
	if err != nil || slices.Equal(again, sealed) {
		t.Errorf("sealed alike twice: %v", err)
	}
	for _, wrong := range []string{"", secret.New(secret.RefreshToken), secret.Digest(token), token + " "} {
		if opened, err := fositestore.OpenAnswer(wrong, sealed); err == nil {
			t.Errorf("%q opens it: %q", wrong, opened)
		}
	}
	for i := range sealed {
		altered := slices.Clone(sealed)
		altered[i] ^= 1
		if _, err := fositestore.OpenAnswer(token, altered); err == nil {
			t.Errorf("altered at %d, it opens", i)
		}
		if _, err := fositestore.OpenAnswer(token, sealed[:i]); err == nil {
			t.Errorf("cut at %d, it opens", i)
		}
	}
}

func TestAClientIsServedFromMemoryToItsOwnOrganizationAlone(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s, other := stage(t, db, "acme"), stage(t, db, "rival")
		clients := fositestore.NewClients(db)
		ours, err := clients.Client(s.ctx, "app")
		s.must(err)
		theirs, err := clients.Client(other.ctx, "app")
		s.must(err)
		if ours.OrgID == theirs.OrgID {
			t.Error("two organizations share a client")
		}
		if _, err := clients.Client(t.Context(), "app"); !errors.Is(err, tenant.ErrNone) {
			t.Errorf("without an organization: %v", err)
		}
		// Served while the database is away, for a moment.
		over, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
		defer cancel()
		if again, err := clients.Client(over, "app"); err != nil || again != ours {
			t.Errorf("%v, %v", again, err)
		}
		// That there is none is not remembered; that it was disabled shows within the second.
		if _, err := clients.Client(s.ctx, "new"); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
		row := *ours.Client
		row.ID, row.ClientID = uuid.Nil, "new"
		s.must(db.CreateClient(s.ctx, &row))
		if _, err := clients.Client(s.ctx, "new"); err != nil {
			t.Errorf("a client that was just made: %v", err)
		}
		row.Disabled = true
		s.must(db.UpdateClient(s.ctx, &row))
		if _, err := fositestore.NewClients(db).Client(s.ctx, "new"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("disabled: %v", err)
		}
		<-time.After(fositestore.ClientCacheTime + 200*time.Millisecond)
		if _, err := clients.Client(s.ctx, "new"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("disabled, a moment later: %v", err)
		}
	})
}

func TestAClientIsShownWithTheOneRedirectURIThatWasMatched(t *testing.T) {
	row := &storage.Client{ClientID: "app", RedirectURIs: []string{callback, "http://127.0.0.1/cb"}, AuthMethod: "none"}
	client := fositestore.NewClient(row, "https://id.example")
	at := client.At("http://127.0.0.1:5000/cb")
	if !slices.Equal(at.GetRedirectURIs(), []string{"http://127.0.0.1:5000/cb"}) || !slices.Equal(client.GetRedirectURIs(), row.RedirectURIs) || len(row.RedirectURIs) != 2 {
		t.Errorf("%v of %v", at.GetRedirectURIs(), client.GetRedirectURIs())
	}
	if !at.IsPublic() || at.GetID() != "app" {
		t.Errorf("%+v", at)
	}
}
