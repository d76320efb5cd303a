package web

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryAccentCanBeReadByDayAndAtNight(t *testing.T) {
	var accents []color
	for _, r := range []float64{0, 0.5, 1} {
		for _, g := range []float64{0, 0.5, 1} {
			for _, b := range []float64{0, 0.5, 1} {
				accents = append(accents, color{r, g, b})
			}
		}
	}
	for _, text := range []string{"#777777", "#767676", "#757575", "#1f4e9e", "#9dbcff", "#f4f3ef", "#101319", "#fefefe", "#010101"} {
		c, _ := parseColor(text)
		accents = append(accents, c)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		accents = append(accents, color{chance.Float64(), chance.Float64(), chance.Float64()})
	}
	for _, accent := range accents {
		accent, _ = parseColor(accent.hex())
		for name, s := range map[string]scheme{"by day": byDay, "at night": atNight} {
			p := s.with(accent)
			if p.accent != accent {
				t.Errorf("%s: %s became %s", name, accent.hex(), p.accent.hex())
			}
			read := func(c color) color { c, _ = parseColor(c.hex()); return c }
			if got := contrast(p.on, p.accent); got < contrastText {
				t.Errorf("%s: on %s one reads with %.2f", name, accent.hex(), got)
			}
			if got := contrast(p.on, read(p.strong)); got < contrastText {
				t.Errorf("%s: on %s, pointed at, one reads with %.2f", name, accent.hex(), got)
			}
			for _, ground := range s.grounds {
				back, _ := parseColor(ground)
				if got := contrast(read(p.link), back); got < contrastText {
					t.Errorf("%s: a link of %s on %s is read with %.2f", name, accent.hex(), ground, got)
				}
				if got := contrast(read(p.edge), back); got < contrastEdge {
					t.Errorf("%s: a button of %s on %s is seen with %.2f", name, accent.hex(), ground, got)
				}
			}
		}
	}
}

func TestTheGroundsAreThoseOfTheStyleSheet(t *testing.T) {
	sheet, err := os.ReadFile("static/keizer.css")
	if err != nil {
		t.Fatal(err)
	}
	day, night, found := strings.Cut(string(sheet), "@media (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("there is no night")
	}
	night, _, _ = strings.Cut(night, "*::before")
	for css, s := range map[string]scheme{day: byDay, night: atNight} {
		for _, match := range regexp.MustCompile(`--(?:[a-z]+-)?(?:ground|surface|sunken): (#[0-9a-f]+);`).FindAllStringSubmatch(css, -1) {
			if !slices.Contains(s.grounds, match[1]) {
				t.Errorf("on %s nobody has tried an accent", match[1])
			}
		}
	}
}

func TestTheSheetOfAnAccentIsServedUnderItsOwnAddressAlone(t *testing.T) {
	pages := newPages(t, Options{})
	ask := func(address string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		pages.Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
		return w
	}
	address, body := accentSheet("#C0FFEE")
	w := ask(address)
	if w.Code != http.StatusOK || w.Body.String() != string(body) || w.Header().Get("Content-Type") != "text/css; charset=utf-8" ||
		w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Errorf("%s: %d %v %s", address, w.Code, w.Header(), w.Body)
	}
	if !regexp.MustCompile(`^[:a-z{}#0-9;(@) -]+\n$`).Match(body) {
		t.Errorf("the sheet holds %q", body)
	}
	for _, other := range []string{
		strings.ToUpper(address), strings.Replace(address, "c0ffee", "c0ffef", 1), "/static/accent-c0ffee.css", "/static/accent-.css", "/static/accent-",
		"/static/accent-red.0000000000000000.css", "/static/accent-c0ffee.0000000000000000.css", strings.Replace(address, "c0ffee", "+0ffee", 1),
	} {
		if w := ask(other); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", other, w.Code)
		}
	}
	for _, none := range []string{"", "red", "#fff", "c0ffee", "#c0ffeg", "#c0ffee;", "#+0ffee", "#-0ffee", "#c0ffee}", "#0x0ffe", "#c0_fee", "# c0ffe"} {
		if address, _ := accentSheet(none); address != "" {
			t.Errorf("%q is a color: %s", none, address)
		}
	}
}
