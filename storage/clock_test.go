package storage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keizer-auth/keizer/storage/storagetest"
)

// Nothing asks the database for the time, so a test may let hours pass in none.
func TestTimePassesAsTheProcessSeesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.DB(t)
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		time.Sleep(time.Hour - time.Microsecond)
		if _, _, err := db.AccessToken(ctx, f.access); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(time.Microsecond)
		if _, _, err := db.AccessToken(ctx, f.access); !isNotFound(err) {
			t.Errorf("at its end: %v", err)
		}
	})
}
