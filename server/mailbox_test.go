package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

func TestThereIsAMailboxInDevelopmentOnly(t *testing.T) {
	for name, changes := range map[string][]func(*config.Config){"development": nil, "production": {inProduction}} {
		house, _ := boot(t, changes...)
		if name == "production" {
			if err := house.Operators.EnsureDevelopment(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(house)
		if err != nil {
			t.Fatal(err)
		}
		org, err := house.Tenant(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		if err := house.DB.EnqueueMail(tenant.With(t.Context(), org), nil, &mail.Message{
			Kind: mail.PasswordReset, To: "alice@example.com", Subject: "<b>Subject</b>", Text: "text", HTML: "<script>alert(1)</script>",
		}); err != nil {
			t.Fatal(err)
		}
		all, err := house.DB.ListMail(t.Context(), storage.MailAll, storage.Mail{}, 1)
		if err != nil || len(all) != 1 {
			t.Fatal(err)
		}
		id := all[0].ID.String()
		ask := func(path string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, house.Cfg.Base()+path, nil)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			return w
		}
		for path, want := range map[string]int{
			"": 200, "/" + id: 200, "/" + id + "/html": 200, "/" + uuid.NewString(): 404, "/x": 404, "/" + strings.ToUpper(id) + "/html/x": 404,
		} {
			w := ask(mailboxPath + path)
			if name == "production" {
				want = 404
			}
			if w.Code != want {
				t.Errorf("in %s %s answers %d", name, path, w.Code)
			}
			if name == "production" && strings.Contains(w.Body.String(), "Subject") {
				t.Errorf("%s shows %s", path, w.Body)
			}
			if strings.Contains(w.Body.String(), "<script>") && !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox allow-popups") {
				t.Errorf("%s: what somebody wrote could run: %v", path, w.Header())
			}
		}
	}
}
