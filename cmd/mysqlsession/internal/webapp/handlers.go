package webapp

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mysqlsession/mysqlsession"
)

// longestName is how many characters a visitor's name may have.
const longestName = 64

// home shows the session, or the form to sign in. Only a session that is already there is
// written to: a visitor who leaves nothing gets no row and no cookie.
func (e *exchange) home() error {
	counted := 1
	if e.r.Method == http.MethodHead {
		counted = 0
	}
	key := e.key()
	current, err := e.visit(key, counted)
	if errors.Is(err, mysqlsession.ErrNotFound) {
		ended := false
		if _, err := e.r.Cookie(cookieName); err == nil {
			e.takeCookie()
			ended = true
		}
		return e.showHome(http.StatusOK, homePage{Ended: ended})
	}
	if err != nil {
		return err
	}
	page := homePage{Session: &current}
	if current.User != "" {
		if page.Sessions, err = e.sessionsOf(current.User, key); err != nil {
			return err
		}
	}
	return e.showHome(http.StatusOK, page)
}

// count counts a visit of somebody who may have no session yet: now there is something
// to store.
func (e *exchange) count() error {
	_, err := e.visit(e.key(), 0)
	if errors.Is(err, mysqlsession.ErrNotFound) {
		err = e.begin(e.newSession(), "")
	}
	if err != nil {
		return err
	}
	e.redirect("", 0)
	return nil
}

func (e *exchange) newSession() session {
	now := e.clock().UTC()
	return session{Device: deviceName(e.r.UserAgent()), Began: now, Seen: now}
}

// signIn gives the visitor a new session id, so that nobody who knew the old one is
// signed in with it. What the session held goes along, unless it was somebody else's.
func (e *exchange) signIn() error {
	name, problem := cleanName(e.r.PostFormValue("name"))
	if problem != "" {
		return e.showHome(http.StatusUnprocessableEntity, homePage{Problem: problem, Name: name})
	}
	oldKey := e.key()
	current, err := e.visit(oldKey, 0)
	switch {
	case errors.Is(err, mysqlsession.ErrNotFound):
		current, oldKey = e.newSession(), ""
	case err != nil:
		return err
	case current.User != "" && current.User != name:
		if err := e.calls.Delete(e.r.Context(), cookieName, oldKey); err != nil {
			return err
		}
		current, oldKey = e.newSession(), ""
	}
	current.User = name
	if err := e.begin(current, oldKey); err != nil {
		return err
	}
	e.redirect("signed-in", 0)
	return nil
}

// cleanName is the name that was typed, and what is wrong with it.
func cleanName(typed string) (name, problem string) {
	name = strings.TrimSpace(typed)
	switch {
	case name == "":
		return "", "Please type a name."
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", "Please use letters only."
	case utf8.RuneCountInString(name) > longestName || len(name) > 255: // of bytes, what the column takes
		return "", "Please take a name of at most " + strconv.Itoa(longestName) + " characters."
	}
	return name, ""
}

func (e *exchange) signOut() error {
	if key := e.key(); key != "" {
		if err := e.calls.Delete(e.r.Context(), cookieName, key); err != nil {
			return err
		}
	}
	e.takeCookie()
	e.redirect("signed-out", 0)
	return nil
}

// signOutOther ends another of one's own sessions, told by its fingerprint.
func (e *exchange) signOutOther() error {
	key := e.key()
	current, err := e.visit(key, 0)
	if errors.Is(err, mysqlsession.ErrNotFound) || err == nil && current.User == "" {
		e.redirect("", 0)
		return nil
	}
	if err != nil {
		return err
	}
	keys, err := e.calls.ReadMetadata(e.r.Context(), cookieName, audience, current.User)
	if err != nil {
		return err
	}
	for other := range keys {
		if other != key && fingerprint(other) == e.r.PostFormValue("session") {
			if err := e.calls.Delete(e.r.Context(), cookieName, other); err != nil {
				return err
			}
		}
	}
	e.redirect("signed-out-other", 0)
	return nil
}

func (e *exchange) signOutEverywhere() error {
	current, err := e.visit(e.key(), 0)
	if errors.Is(err, mysqlsession.ErrNotFound) || err == nil && current.User == "" {
		e.redirect("", 0)
		return nil
	}
	if err != nil {
		return err
	}
	ended, err := e.calls.DeleteSubject(e.r.Context(), cookieName, audience, current.User)
	if err != nil {
		return err
	}
	e.takeCookie()
	e.redirect("signed-out-everywhere", ended)
	return nil
}

// sessionsOf lists a user's sessions, this one first, then those seen last.
func (e *exchange) sessionsOf(user, key string) ([]listedSession, error) {
	expiries, err := e.calls.ReadMetadata(e.r.Context(), cookieName, audience, user)
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(expiries))
	for other := range expiries {
		keys = append(keys, other)
	}
	values, err := e.calls.GetMany(e.r.Context(), cookieName, keys)
	if err != nil {
		return nil, err
	}
	now := e.clock()
	var listed []listedSession
	for other, value := range values {
		var s session
		// One that was replaced lingers for a moment.
		if json.Unmarshal(value, &s) != nil || expiries[other].Sub(now) <= staleLifetime {
			continue
		}
		listed = append(listed, listedSession{
			Here: other == key, Fingerprint: fingerprint(other), Device: s.Device, Visits: s.Visits,
			Seen: s.Seen, SeenAgo: ago(now.Sub(s.Seen)),
			Ends: expiries[other].UTC(), EndsIn: span(expiries[other].Sub(now)),
		})
	}
	slices.SortFunc(listed, func(a, b listedSession) int {
		switch {
		case a.Here != b.Here && a.Here:
			return -1
		case a.Here != b.Here:
			return 1
		default:
			return b.Seen.Compare(a.Seen)
		}
	})
	return listed, nil
}

// redirect sends the browser back to the page, so that a reload does not repeat what was
// done. said names what the page will say.
func (e *exchange) redirect(said string, sessions int64) {
	target := "/"
	if said != "" {
		query := url.Values{"said": {said}}
		if sessions > 0 {
			query.Set("sessions", strconv.FormatInt(sessions, 10))
		}
		target += "?" + query.Encode()
	}
	http.Redirect(e.w, e.r, target, http.StatusSeeOther)
}

// ago and span say a duration as people do.
func ago(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(0, int(d/time.Second))) + " s"
	case d < time.Hour:
		return strconv.Itoa(int((d+30*time.Second)/time.Minute)) + " min"
	default:
		return strconv.Itoa(int((d+30*time.Minute)/time.Hour)) + " h"
	}
}
