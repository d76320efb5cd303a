package manage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // so that image.DecodeConfig knows it
	_ "image/png"  // as above
	"net/http"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Bounds of a logo. Pages show it two fingers high.
const (
	maxLogo     = 128 << 10 // bytes
	maxLogoSide = 2048      // pixels
)

// SetLogo gives the organization a logo, which its pages show beside its name: a PNG, JPEG or WebP picture. SVG is none of them:
// it may hold a script, and no page of ours shall depend on a browser that does not run it.
func (o *Operators) SetLogo(ctx context.Context, picture []byte) error {
	contentType, err := CheckLogo(picture)
	if err != nil {
		return &Invalid{Field: "logo", Message: err.Error()}
	}
	sum := sha256.Sum256(picture)
	digest := hex.EncodeToString(sum[:16])
	err = o.brand(ctx, digest, "organization.logo_set", func(ctx context.Context) error {
		return o.db.SetLogo(ctx, &storage.Logo{Digest: digest, ContentType: contentType, Image: picture})
	})
	if err != nil {
		return fmt.Errorf("set logo: %w", err)
	}
	return nil
}

// DeleteLogo takes the organization's logo away; its pages show its initials again.
func (o *Operators) DeleteLogo(ctx context.Context) error {
	if err := o.brand(ctx, "", "organization.logo_deleted", o.db.DeleteLogo); err != nil {
		return fmt.Errorf("delete logo: %w", err)
	}
	return nil
}

// brand does something to the logo, and notes in the settings which one it is now.
func (o *Operators) brand(ctx context.Context, digest, action string, deed func(context.Context) error) error {
	in, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	// The picture's name is all that changes: what else was decided may be a newer replica's.
	patch := settings.Patch{"branding": map[string]any{"logo": nil}}
	if digest != "" {
		patch = settings.Patch{"branding": map[string]any{"logo": digest}}
	}
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) error {
			org, err := o.db.OrganizationBySlug(ctx, in.Slug)
			if err != nil {
				return err
			}
			before, err := settings.Parse(org.Settings)
			if err != nil {
				return err
			}
			if org.Settings, _, err = patch.Apply(org.Settings); err != nil {
				return err
			}
			if err := deed(ctx); err != nil {
				return err
			}
			if err := o.db.UpdateOrganization(ctx, org); err != nil {
				return err
			}
			return o.audit(ctx, action, org.Slug, storage.Changes(map[string]any{"digest": before.Branding.Logo}, map[string]any{"digest": digest}))
		})
		if !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	return err
}

// CheckLogo says what is wrong with a picture, else what kind it is: by its own first bytes, and not by what anybody calls it.
func CheckLogo(picture []byte) (contentType string, err error) {
	if len(picture) == 0 || len(picture) > maxLogo {
		return "", fmt.Errorf("it must have 1 to %d bytes", maxLogo)
	}
	contentType = http.DetectContentType(picture)
	var width, height int
	switch contentType {
	case "image/png", "image/jpeg":
		config, _, err := image.DecodeConfig(bytes.NewReader(picture))
		if err != nil {
			return "", errors.New("it is damaged")
		}
		width, height = config.Width, config.Height
	case "image/webp":
		if width, height = webpSize(picture); width == 0 {
			return "", errors.New("it is damaged")
		}
	default:
		return "", errors.New("it must be a PNG, JPEG or WebP picture")
	}
	if width < 1 || height < 1 || width > maxLogoSide || height > maxLogoSide {
		return "", fmt.Errorf("it must be at most %d pixels wide and high", maxLogoSide)
	}
	return contentType, nil
}

// webpSize reads how large a WebP picture is (RFC 9649 §2.4 to §2.7); 0 when it cannot be read.
func webpSize(picture []byte) (width, height int) {
	const riff, chunk = 12, 8
	if len(picture) < riff+chunk+10 || binary.LittleEndian.Uint32(picture[4:]) > uint32(len(picture)-8) { //nolint:gosec // at most maxLogo
		return 0, 0
	}
	kind, body := string(picture[riff:riff+4]), picture[riff+chunk:]
	switch {
	case kind == "VP8X": // a canvas: 24 bits each, less one
		return 1 + (int(body[4]) | int(body[5])<<8 | int(body[6])<<16), 1 + (int(body[7]) | int(body[8])<<8 | int(body[9])<<16)
	case kind == "VP8L" && body[0] == 0x2f: // 14 bits each, less one
		bits := binary.LittleEndian.Uint32(body[1:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
	case kind == "VP8 " && string(body[3:6]) == "\x9d\x01\x2a": // a key frame; the two bits above are for scaling
		return int(binary.LittleEndian.Uint16(body[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
	}
	return 0, 0
}
