package webapp

import "strings"

// named is a word of a User-Agent header and what people call it.
type named struct{ word, name string }

// deviceName says in people's words what a User-Agent header says: a name to tell one's
// own sessions apart by, and nothing to rely on. None of the header's own text is kept.
func deviceName(userAgent string) string {
	// The order matters: browsers claim to be their predecessors.
	browser := firstOf(userAgent, []named{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Wget/", "Wget"}, {"Lynx/", "Lynx"}, {"Links", "Links"}, {"w3m/", "w3m"},
		{"Go-http-client/", "A Go program"},
	})
	system := firstOf(userAgent, []named{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
		{"Macintosh", "macOS"}, {"Linux", "Linux"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"},
	})
	if browser == "" {
		browser = "A browser"
	}
	if system == "" {
		return browser
	}
	return browser + " on " + system
}

func firstOf(text string, among []named) string {
	for _, n := range among {
		if strings.Contains(text, n.word) {
			return n.name
		}
	}
	return ""
}
