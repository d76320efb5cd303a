package manage_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
)

// A WebP picture of one pixel.
const webp = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"

func TestAnOrganizationsLogoIsAPictureAndNothingElse(t *testing.T) {
	drawn := func(width, height int) *image.RGBA { return image.NewRGBA(image.Rect(0, 0, width, height)) }
	encoded := func(picture image.Image) []byte {
		var b bytes.Buffer
		must(t, png.Encode(&b, picture))
		return b.Bytes()
	}
	var photograph bytes.Buffer
	must(t, jpeg.Encode(&photograph, drawn(40, 30), nil))
	small, err := base64.StdEncoding.DecodeString(webp)
	must(t, err)
	noisy := drawn(300, 300)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noisy.Pix) // which always succeeds

	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		logo := func() string {
			org, err := o.db.OrganizationBySlug(ctx, "acme")
			must(t, err)
			decided, err := settings.Parse(org.Settings)
			must(t, err)
			return decided.Branding.Logo
		}
		for want, picture := range map[string][]byte{"image/png": encoded(drawn(64, 64)), "image/jpeg": photograph.Bytes(), "image/webp": small} {
			must(t, o.SetLogo(ctx, picture))
			stored, err := o.db.Logo(ctx, logo())
			if err != nil || stored.ContentType != want || !bytes.Equal(stored.Image, picture) {
				t.Errorf("%s became %+v, %v", want, stored, err)
			}
		}
		before := logo()
		for name, picture := range map[string][]byte{
			"empty": nil, "large": encoded(noisy), "SVG": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`),
			"HTML": []byte("<!doctype html><script>alert(1)</script>"), "GIF": []byte("GIF89a" + strings.Repeat("\x01", 40)), "wide": encoded(drawn(2049, 1)),
			"high": encoded(drawn(1, 2049)), "damaged": encoded(drawn(64, 64))[:20], "damaged WebP": small[:25], "named WebP": []byte("RIFF\x00\x00\x00\x00WEBPVP8 " + strings.Repeat("\x00", 40)),
			"a picture in a page": append([]byte("<html>"), encoded(drawn(4, 4))...),
		} {
			if err := o.SetLogo(ctx, picture); len(manage.Complaints(err)) != 1 {
				t.Errorf("%s (%d bytes): %v", name, len(picture), err)
			}
		}
		if logo() != before {
			t.Error("what was refused was taken")
		}
		must(t, o.DeleteLogo(ctx))
		if logo() != "" {
			t.Error("the logo is still there")
		}
		if audited := o.audited(t, ctx); !slices.Equal(audited[len(audited)-2:], []string{"organization.logo_set", "organization.logo_deleted"}) {
			t.Errorf("the audit has %q", audited)
		}
	})
}

func FuzzLogo(f *testing.F) {
	small, _ := base64.StdEncoding.DecodeString(webp)
	f.Add(small)
	f.Add([]byte("RIFF\x20\x00\x00\x00WEBPVP8X" + strings.Repeat("\xff", 20)))
	f.Add([]byte("RIFF\x20\x00\x00\x00WEBPVP8L" + strings.Repeat("\x2f", 20)))
	f.Fuzz(func(t *testing.T, picture []byte) {
		if kind, err := manage.CheckLogo(picture); err == nil && (!slices.Contains([]string{"image/png", "image/jpeg", "image/webp"}, kind) || len(picture) > 128<<10) {
			t.Errorf("%d bytes are taken as %q", len(picture), kind)
		}
	})
}
