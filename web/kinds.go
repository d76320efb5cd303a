package web

import "maps"

// The samples' awkward values: what is longest, what is empty, what would break out of a page if it could.
const (
	sampleLong    = "A Name That Somebody Made Considerably Longer Than Anybody Would Have Thought Sensible GmbH & Co. KG"
	sampleHostile = `"><script>alert(1)</script><img src=x onerror='alert(1)'>{{.}}`
)

var sampleApp = AppCard{
	Name: "Sample", PolicyURI: "https://app.example/privacy", TosURI: "https://app.example/terms",
	ClientURI: "https://app.example/", LogoURI: "https://app.example/logo.png",
}

// kinds are the pages, by the names of their templates: those of this file and those of each area, which stand with their data.
var kinds = merged(commonKinds, loginKinds, signupKinds, factorKinds, accountKinds, mailboxKinds, federationKinds)

// merged is all of the areas in one. That no name is there twice is a test's to find out.
func merged(areas ...map[string]kind) map[string]kind {
	all := map[string]kind{}
	for _, area := range areas {
		maps.Copy(all, area)
	}
	return all
}

// Sample is a page with what it is tried with.
type Sample struct {
	Name  string // of the page
	Index int
	Page  Page
}

// Samples are those of every page that stays where it is, in no order: what somebody needs who wants to look at them all.
func Samples() (samples []Sample) {
	for name, kind := range kinds {
		for i, page := range kind.samples {
			if last, ok := page.(LoggedOutPage); kind.script == "" && (!ok || last.then == "") {
				samples = append(samples, Sample{name, i, page})
			}
		}
	}
	return samples
}

// commonKinds are the pages that everything comes to in the end, or begins with.
var commonKinds = map[string]kind{
	"error": {samples: []Page{
		ErrorPage{},
		ErrorPage{Heading: TitleLogoutError, Code: "invalid_request", Message: "A sentence.", BackTo: "https://app.example/", Again: "/login"},
	}},
	"logout": {leaves: true, samples: []Page{
		LogoutPage{Action: "/oauth2/logout", CSRF: "t", UserName: "alice", Request: "r"},
		LogoutPage{Action: "/oauth2/logout", CSRF: "t", UserName: "alice", Others: []string{"bob", sampleLong, sampleHostile}, Request: "r"},
		LogoutPage{Others: []string{"bob"}},
	}},
	"logged_out": {file: "frontchannel.js", samples: []Page{
		LoggedOutPage{}, LoggedOutPage{SelectURL: "/login/select"}, LoggedOutPage{Frames: []string{"https://app.example/bye?iss=i&sid=s"}, then: "app.example:/bye"},
	}},
	"form_post": {leaves: true, script: submitScript, samples: []Page{
		FormPostPage{address: "https://app.example/cb", Fields: []Field{{"code", "c"}, {"state", sampleHostile}}},
	}},
	"setup": {samples: []Page{
		SetupPage{Action: "/setup?token=x", CSRF: "t", Organization: "Default"},
		SetupPage{
			Problem: "setup.problem",
			Problems: map[string]string{
				"organization_name": "A sentence.", "organization_slug": "A sentence.",
				"username": "A sentence.", "email": "A sentence.", "name": "A sentence.", "password": "A sentence.",
			},
		},
	}},
	"setup_done": {samples: []Page{
		SetupDonePage{Issuer: "https://id.example", Discovery: "https://id.example/.well-known/openid-configuration"},
		SetupDonePage{Issuer: "https://id.example/o/x", Discovery: "https://id.example/o/x/.well-known/openid-configuration", Playground: "/playground"},
	}},
}
