package web

import "golang.org/x/text/language"

// Sample is a page with what it is tried with, for the test that looks at them.
type Sample struct {
	Name  string
	Index int
	Page  Page
}

// Samples are those of every page that stays: one sends itself away.
func Samples() (samples []Sample) {
	for name, kind := range kinds {
		for i, page := range kind.samples {
			if kind.script == "" {
				samples = append(samples, Sample{name, i, page})
			}
		}
	}
	return samples
}

// TitleIn is the heading of a page in a language.
func (p *Pages) TitleIn(page Page, tag language.Tag) string {
	return p.frame(p.languages.catalog.In(tag), kind{}, page).Title
}
