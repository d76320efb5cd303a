package web

import "maps"

// The samples' awkward values: what is longest, what is empty, what would break out of a page if it could.
const (
	sampleLong    = "A Name That Somebody Made Considerably Longer Than Anybody Would Have Thought Sensible GmbH & Co. KG"
	sampleHostile = `"><script>alert(1)</script><img src=x onerror='alert(1)'>{{.}}`
)

var sampleApp = AppCard{
	Name: "Sample", PolicyURI: "https://app.example/privacy", TosURI: "https://app.example/terms", ClientURI: "https://app.example/",
}

// kinds are the pages, by the names of their templates.
var kinds = allKinds(basicKinds, accountKinds)

func allKinds(areas ...map[string]kind) map[string]kind {
	all := make(map[string]kind)
	for _, area := range areas {
		maps.Copy(all, area)
	}
	return all
}

// basicKinds are the pages of a sign-in and a sign-out.
var basicKinds = map[string]kind{
	"login": {leaves: true, samples: []Page{
		SignInPage{Action: "/login?interaction=x", CSRF: "t", App: sampleApp, Cancel: true},
		SignInPage{App: AppCard{Name: sampleLong}, Username: "alice", Again: true, Problem: "login.failed"},
		SignInPage{Username: sampleHostile, UsernameProblem: "login.no_name", PasswordProblem: "login.no_secret"},
	}},
	"consent": {leaves: true, samples: []Page{
		ConsentPage{
			Action: "/consent?interaction=x", CSRF: "t", App: sampleApp, UserName: "alice", Destination: "app.example",
			Scopes: []Scope{{"openid", "scope.openid", "scope.openid.detail"}, {"address", "scope.address", ""}, {Name: "read"}},
		},
		ConsentPage{App: AppCard{Name: sampleHostile}, Unverified: true},
	}},
	"error": {samples: []Page{
		ErrorPage{},
		ErrorPage{Heading: TitleLogoutError, Code: "invalid_request", Message: "A sentence.", BackTo: "https://app.example/", Again: "/login"},
	}},
	"logout":     {leaves: true, samples: []Page{LogoutPage{Action: "/oauth2/logout", CSRF: "t", UserName: "alice", Request: "r"}}},
	"logged_out": {samples: []Page{LoggedOutPage{}, LoggedOutPage{BackTo: "https://app.example/"}}},
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
		SetupDonePage{Playground: "/playground"},
	}},
}
