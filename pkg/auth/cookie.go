// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"net/http"
	"time"
)

const (
	sessionCookie = "z4j_session"
	csrfCookie    = "z4j_csrf"
	// hostPrefix makes browsers insist on Secure, Path=/ and no Domain.
	hostPrefix = "__Host-"
)

// Cookies builds and reads the two cookies of a browser session.
type Cookies struct {
	// Secure is off only in dev mode on plain http; it also decides the names.
	Secure bool
	// Strict sends the session cookie with SameSite=Strict instead of Lax.
	Strict bool
}

// SessionName is the session cookie's name.
func (c Cookies) SessionName() string { return c.name(sessionCookie) }

// CSRFName is the CSRF cookie's name.
func (c Cookies) CSRFName() string { return c.name(csrfCookie) }

func (c Cookies) name(base string) string {
	if c.Secure {
		return hostPrefix + base
	}
	return base
}

// Set puts both cookies of a session on an answer.
func (c Cookies) Set(w http.ResponseWriter, session, csrf string, maxAge time.Duration) {
	http.SetCookie(w, c.build(c.SessionName(), session, int(maxAge/time.Second), true))
	http.SetCookie(w, c.build(c.CSRFName(), csrf, int(maxAge/time.Second), false))
}

// Clear removes both cookies.
func (c Cookies) Clear(w http.ResponseWriter) {
	http.SetCookie(w, c.build(c.SessionName(), "", -1, true))
	http.SetCookie(w, c.build(c.CSRFName(), "", -1, false))
}

// Session returns the value of the request's session cookie, or "".
func (c Cookies) Session(r *http.Request) string {
	cookie, err := r.Cookie(c.SessionName())
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (c Cookies) build(name, value string, maxAge int, session bool) *http.Cookie {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: c.Secure,
		// The dashboard's script reads the CSRF cookie and echoes it in a header; it never leaves the site.
		HttpOnly: session, SameSite: http.SameSiteStrictMode,
	}
	if session && !c.Strict {
		// Lax: a link from a mail or chat opens the dashboard logged in.
		cookie.SameSite = http.SameSiteLaxMode
	}
	return cookie
}
