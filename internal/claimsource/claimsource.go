package claimsource

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/keizer-auth/keizer/internal/outbound"
)

// The members by which a document speaks of them.
const (
	Names   = "_claim_names"
	Sources = "_claim_sources"
)

// Source is where claims come from: the JWT that says them, or the address at which they are told, to whoever brings the token.
type Source struct {
	JWT         string `json:"JWT,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	AccessToken string `json:"access_token,omitempty"`
}

// Set are the claims that a provider has told of in this way: which come from which source.
type Set struct {
	Names   map[string]string `json:"names"`
	Sources map[string]Source `json:"sources"`
}

// Bounds of what is kept of one provider.
const (
	mostNames   = 50
	mostSources = 10
	maxName     = 255      // bytes
	maxToken    = 2 << 10  // bytes
	maxJWT      = 16 << 10 // bytes
	maxSet      = 24 << 10 // bytes, as JSON
)

var (
	jwt   = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2}(\.[A-Za-z0-9_-]*){0,2}$`)
	token = regexp.MustCompile(`^[[:graph:]]+$`)
)

// Read takes from what a provider tells of a person what may be kept: claims, by known, of sources that are well-formed. All else is left out.
func Read(told map[string]any, known func(claim string) bool) *Set {
	names, _ := told[Names].(map[string]any)
	sources, _ := told[Sources].(map[string]any)
	set := &Set{make(map[string]string), make(map[string]Source)}
	for _, claim := range slices.Sorted(maps.Keys(names)) {
		from, _ := names[claim].(string)
		if len(claim) > maxName || from == "" || !known(claim) || len(set.Names) == mostNames {
			continue
		}
		if _, have := set.Sources[from]; !have {
			source, ok := readSource(sources[from])
			if !ok || len(set.Sources) == mostSources {
				continue
			}
			set.Sources[from] = source
		}
		set.Names[claim] = from
	}
	if len(set.Names) == 0 || len(set.Text()) > maxSet {
		return nil
	}
	return set
}

func readSource(value any) (Source, bool) {
	members, _ := value.(map[string]any)
	text := func(name string) string { text, _ := members[name].(string); return text }
	s := Source{text("JWT"), text("endpoint"), text("access_token")}
	if s.JWT != "" { // aggregated
		return Source{JWT: s.JWT}, len(s.JWT) <= maxJWT && jwt.MatchString(s.JWT)
	}
	if s.AccessToken != "" && (len(s.AccessToken) > maxToken || !token.MatchString(s.AccessToken)) {
		return Source{}, false
	}
	return s, s.Endpoint != "" && outbound.CheckURL(s.Endpoint, false) == nil
}

// Text is a set as it is kept; Parse reads it again. None is an empty text.
func (s *Set) Text() string {
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil { // cannot be: it is texts
		return ""
	}
	return string(text)
}

// Parse reads what Text has written.
func Parse(text string) *Set {
	var s Set
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil
	}
	return &s
}

// Add puts into a document which claims of sets are to be had from which source: those that are asked for, and that the document does not say
// itself. Of two sources of one claim the first counts.
func Add(document map[string]any, sets []*Set, asked func(claim string) bool) {
	names, sources := make(map[string]string), make(map[string]Source)
	for _, set := range sets {
		called := make(map[string]string) // for two providers may call theirs the same
		for _, claim := range slices.Sorted(maps.Keys(set.Names)) {
			_, said := document[claim]
			_, named := names[claim]
			if said || named || !asked(claim) {
				continue
			}
			from := set.Names[claim]
			if called[from] == "" {
				called[from] = "src" + strconv.Itoa(len(sources)+1)
				sources[called[from]] = set.Sources[from]
			}
			names[claim] = called[from]
		}
	}
	if len(names) > 0 {
		document[Names], document[Sources] = names, sources
	}
}
