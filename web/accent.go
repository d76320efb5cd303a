package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// color is one of sRGB, each part from 0 to 1.
type color [3]float64

// parseColor reads "#rrggbb", and nothing else: what an organization has chosen becomes part of a style sheet.
func parseColor(text string) (color, bool) {
	if len(text) != 7 || text[0] != '#' {
		return color{}, false
	}
	parts, err := strconv.ParseUint(text[1:], 16, 24)
	if err != nil {
		return color{}, false
	}
	return color{float64(parts>>16&0xff) / 255, float64(parts>>8&0xff) / 255, float64(parts&0xff) / 255}, true
}

func (c color) hex() string {
	var b [3]byte
	for i, part := range c {
		b[i] = byte(math.Round(part * 255))
	}
	return "#" + hex.EncodeToString(b[:])
}

// toward mixes a color with another one.
func (c color) toward(other color, share float64) color {
	for i := range c {
		c[i] += (other[i] - c[i]) * share
	}
	return c
}

// luminance is relative luminance, as WCAG 2.2 defines it.
func (c color) luminance() float64 {
	linear := func(part float64) float64 {
		if part <= 0.04045 {
			return part / 12.92
		}
		return math.Pow((part+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is the contrast ratio of two colors, from 1 to 21.
func contrast(one, other color) float64 {
	light, dark := one.luminance(), other.luminance()
	if light < dark {
		light, dark = dark, light
	}
	return (light + 0.05) / (dark + 0.05)
}

// distinct is c, made darker or lighter until it stands out from all of the grounds by the ratio.
func (c color) distinct(grounds []color, end color, ratio float64) color {
	const steps = 64
	for i := range steps + 1 {
		// Rounded as it will be read.
		made, _ := parseColor(c.toward(end, float64(i)/steps).hex())
		enough := true
		for _, ground := range grounds {
			enough = enough && contrast(made, ground) >= ratio
		}
		if enough {
			return made
		}
	}
	return end
}

var black, white = color{0, 0, 0}, color{1, 1, 1}

// What text has to stand out by, and what the edge of a control has (WCAG 2.2, 1.4.3 and 1.4.11).
const (
	contrastText = 4.5
	contrastEdge = 3
)

// scheme is a color scheme of keizer.css: what links lie upon there, and which way colors go to be told from it.
type scheme struct {
	grounds []string
	end     color
}

// The grounds of keizer.css, by day and at night.
var (
	byDay   = scheme{[]string{"#f4f3ef", "#ffffff", "#f8f7f4", "#fdf1ef", "#eff8f1", "#fdf6e3"}, black}
	atNight = scheme{[]string{"#101319", "#191d25", "#13171e", "#2e1917", "#13251a", "#292212"}, white}
)

// palette is what a page needs to know of an accent in one scheme.
type palette struct{ accent, strong, on, edge, link color }

// with is the palette of an accent. Buttons have the very color; what is written on them is black or white, of which one always
// stands out enough. Their edge and the links are as near to it as can be read on every ground.
func (s scheme) with(accent color) palette {
	grounds := make([]color, len(s.grounds))
	for i, ground := range s.grounds {
		grounds[i], _ = parseColor(ground)
	}
	p := palette{accent: accent, on: white, edge: accent.distinct(grounds, s.end, contrastEdge), link: accent.distinct(grounds, s.end, contrastText)}
	if contrast(accent, black) > contrast(accent, white) {
		p.on = black
	}
	// A button that is pointed at moves away from what is written on it.
	away := black
	if p.on == black {
		away = white
	}
	p.strong = accent.toward(away, 0.2)
	return p
}

func (p palette) css() string {
	return fmt.Sprintf("--accent:%s;--accent-strong:%s;--on-accent:%s;--accent-edge:%s;--link:%s",
		p.accent.hex(), p.strong.hex(), p.on.hex(), p.edge.hex(), p.link.hex())
}

// accentSheet is the style sheet of an accent, and where it is served: it goes after keizer.css and is in its place for
// whatever an organization may choose. There is none of a color that is none.
func accentSheet(accent string) (address string, body []byte) {
	chosen, ok := parseColor(accent)
	if !ok {
		return "", nil
	}
	body = []byte(":root{" + byDay.with(chosen).css() + "}@media (prefers-color-scheme:dark){:root{" + atNight.with(chosen).css() + "}}\n")
	sum := sha256.Sum256(body)
	return accentPrefix + chosen.hex()[1:] + "." + hex.EncodeToString(sum[:8]) + ".css", body
}

const accentPrefix = "/static/accent-"

// accentAt is the sheet that is served at an address, nil when none is.
func accentAt(address string) []byte {
	rest, ok := strings.CutPrefix(address, accentPrefix)
	digits, _, _ := strings.Cut(rest, ".")
	if !ok {
		return nil
	}
	made, body := accentSheet("#" + digits)
	if made != address {
		return nil
	}
	return body
}
