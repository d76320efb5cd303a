package useragent

import "strings"

// family is a browser or a system by a part of the text that tells it. Earlier ones hide later ones: nearly every browser says
// that it is others too.
type family struct{ part, name string }

var browsers = []family{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Vivaldi/", "Vivaldi"}, {"YaBrowser/", "Yandex Browser"}, {"DuckDuckGo/", "DuckDuckGo"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"},
	{"HeadlessChrome/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}, {"Safari/", "Safari"},
	{"curl/", "curl"}, {"Wget/", "Wget"}, {"Go-http-client/", "a Go program"}, {"python-requests/", "a Python program"},
}

var systems = []family{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
	{"Macintosh", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"}, {"X11", "Unix"},
}

// maxOwn is as much as is repeated of a name that is not known, in bytes.
const maxOwn = 40

// Readable returns the browser and the system, such as "Firefox, Windows", as far as they are known; of one that is not known the
// name that it begins with; and nothing where there is nothing.
func Readable(agent string) string {
	browser, system := first(browsers, agent), first(systems, agent)
	switch {
	case browser != "" && system != "":
		return browser + ", " + system
	case browser != "" || system != "":
		return browser + system
	}
	own, _, _ := strings.Cut(strings.TrimSpace(agent), " ")
	own, _, _ = strings.Cut(own, "/")
	for _, r := range own {
		if r < ' ' || r > '~' {
			return ""
		}
	}
	return own[:min(len(own), maxOwn)]
}

func first(families []family, agent string) string {
	for _, f := range families {
		if strings.Contains(agent, f.part) {
			return f.name
		}
	}
	return ""
}
