package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keizer-auth/keizer/storage/storagetest"
)

func status(handler http.HandlerFunc) int {
	answer := httptest.NewRecorder()
	handler(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	return answer.Code
}

func TestReadinessFollowsTheDatabaseAndLivenessDoesNot(t *testing.T) {
	db := storagetest.DB(t)
	h := &health{db: db}
	if status(h.ready) != 200 || status(h.live) != 200 {
		t.Error("not ready with a database")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if status(h.ready) != 200 {
		t.Error("the database is asked more than once a second")
	}
	h.checked = h.checked.Add(-readyCacheTime)
	if status(h.ready) != 503 || status(h.live) != 200 {
		t.Error("ready without a database, or dead for want of one")
	}
}

func TestADrainingServerLivesAndIsNotReady(t *testing.T) {
	h := &health{db: storagetest.DB(t)}
	h.draining.Store(true)
	if status(h.ready) != 503 || status(h.live) != 200 {
		t.Error("draining")
	}
}

// A probe that gives up must not leave the verdict on its patience behind for everybody else.
func TestAProbeThatGoesAwayDoesNotMakeTheDatabaseUnavailable(t *testing.T) {
	h := &health{db: storagetest.DB(t)}
	gone, err := http.NewRequestWithContext(timedOut(t), http.MethodGet, "/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.ready(httptest.NewRecorder(), gone)
	if status(h.ready) != 200 {
		t.Error("not ready")
	}
}
