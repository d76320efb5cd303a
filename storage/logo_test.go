package storage_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestAnOrganizationHasOneLogoAndItIsItsOwn(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		acme, umbra := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "umbra")
		set := func(digest string) {
			t.Helper()
			if err := db.SetLogo(acme, &storage.Logo{Digest: digest, ContentType: "image/png", Image: []byte("\x89PNG\x00" + digest)}); err != nil {
				t.Fatal(err)
			}
		}
		set("first")
		set("second")
		logo, err := db.Logo(acme, "second")
		if err != nil || !bytes.Equal(logo.Image, []byte("\x89PNG\x00second")) || logo.ContentType != "image/png" {
			t.Errorf("%+v, %v", logo, err)
		}
		if _, err := db.Logo(acme, "first"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the logo that was replaced: %v", err)
		}
		if _, err := db.Logo(umbra, "second"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the logo of another organization: %v", err)
		}
		if err := errors.Join(db.DeleteLogo(umbra), db.DeleteLogo(acme), db.DeleteLogo(acme)); err != nil {
			t.Error(err)
		}
		if _, err := db.Logo(acme, "second"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the logo that was taken away: %v", err)
		}
	})
}
