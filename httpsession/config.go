package httpsession

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// ErrInvalidConfig is a configuration that cannot be used. The text names field, value and
// bound.
var ErrInvalidConfig = errors.New("httpsession: invalid configuration")

// Config is how a Manager works. The zero value is good for a site that is served by HTTPS.
type Config struct {
	// CookieName is the cookie's name. "": "__Host-session", with Domain "__Secure-session",
	// with Insecure "session". Browsers take a cookie with the first prefix only from this
	// very host and by HTTPS, so that no other host of the domain can plant one.
	CookieName string
	// Domain shares the cookie with all hosts below it. "": only the host that set it.
	Domain string
	// SameSite says whether requests from other sites bring the cookie. 0: Lax, where links
	// bring it and forms do not.
	SameSite http.SameSite
	// Insecure lets the cookie travel by plain HTTP, for development.
	Insecure bool

	// Name is what sessions are stored under, and, with "~old" behind it, those of StaleTTL.
	// "": CookieName. It is at most 250 bytes.
	Name string
	// Audience is what the subjects of SignIn belong to. "": "default". It is at most 255
	// bytes.
	Audience string

	// MaxPerSubject is how many sessions a subject may have: a sign-in ends those beyond it
	// that would expire first. 0: any number.
	MaxPerSubject int

	// IdleTimeout is how long a session lives after its last request, at most; it may be
	// TouchInterval less. From 1s; 0: 30 minutes.
	IdleTimeout time.Duration
	// Lifetime is how long a session lives in all, counted from its beginning or from
	// SignIn. From IdleTimeout; 0: 12 hours; negative: as long as it is used.
	Lifetime time.Duration
	// RememberLifetime is how long a session lives after Session.Remember, used or not. From
	// 1s to 400 days, for which browsers keep a cookie; 0: 30 days.
	RememberLifetime time.Duration
	// TouchInterval is how often, at most, a process extends the life of a session that is
	// only read. Less than IdleTimeout; 0: a minute, or a quarter of IdleTimeout if that is
	// less.
	TouchInterval time.Duration
	// StaleTTL is how much longer the id that Rotate has replaced can be read, for requests
	// that a browser has sent before it got the new one. They see the session as it was
	// before that request, and what they change is dropped, a Destroy too. Nor does a Destroy
	// of the new id end the old one before its time; SignOutEverywhere does. 0: not at all; at
	// most a minute. It is not for SignIn, whose old id may be known to others.
	StaleTTL time.Duration

	// Lazy leaves it to the handler whether the session is read, by Manager.Load: for sites
	// with pages that need none, and that are to be served when the database is away.
	Lazy bool
	// ErrorHandler answers a request whose session could not be read or written. What the
	// handler has put into the header is gone by then. nil: a line in the log, and 503, or
	// 500 if trying again would not help.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets what nobody can be told any more. nil: slog.Default().
	Logger *slog.Logger
	// Clock is the time. nil: time.Now. It must be safe for concurrent use.
	Clock func() time.Time
}

const (
	defaultName     = "session"
	hostPrefix      = "__Host-"
	securePrefix    = "__Secure-"
	defaultAudience = "default"

	defaultIdle  = 30 * time.Minute
	defaultLife  = 12 * time.Hour
	defaultTouch = time.Minute
	defaultKept  = 30 * 24 * time.Hour
	longestKept  = 400 * 24 * time.Hour
	longestStale = time.Minute

	// longestName leaves room for staleSuffix in what a store takes.
	longestName = 250
	longestText = 255
)

func (cfg Config) withDefaults() Config {
	if cfg.CookieName == "" {
		switch {
		case cfg.Insecure:
			cfg.CookieName = defaultName
		case cfg.Domain != "":
			cfg.CookieName = securePrefix + defaultName
		default:
			cfg.CookieName = hostPrefix + defaultName
		}
	}
	setDefault(&cfg.SameSite, http.SameSiteLaxMode)
	setDefault(&cfg.Name, cfg.CookieName)
	setDefault(&cfg.Audience, defaultAudience)
	setDefault(&cfg.IdleTimeout, defaultIdle)
	setDefault(&cfg.Lifetime, defaultLife)
	setDefault(&cfg.RememberLifetime, defaultKept)
	setDefault(&cfg.TouchInterval, min(defaultTouch, cfg.IdleTimeout/4))
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.ErrorHandler == nil {
		cfg.ErrorHandler = cfg.answerError
	}
	return cfg
}

func setDefault[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

// validate refuses what cannot be used, with the defaults in place of what was left at zero.
func (cfg *Config) validate() error {
	prefix := func(p string) bool {
		return len(cfg.CookieName) >= len(p) && strings.EqualFold(cfg.CookieName[:len(p)], p)
	}
	rules := []struct {
		field string
		value any
		kept  bool
		bound string
	}{
		{"CookieName", cfg.CookieName, (&http.Cookie{Name: cfg.CookieName}).Valid() == nil, "a token of RFC 9110"},
		{"CookieName", cfg.CookieName, !prefix(hostPrefix) || !cfg.Insecure && cfg.Domain == "", `without the prefix "__Host-", which is not for Insecure and Domain`},
		{"CookieName", cfg.CookieName, !prefix(securePrefix) || !cfg.Insecure, `without the prefix "__Secure-", which is not for Insecure`},
		{"Domain", cfg.Domain, (&http.Cookie{Name: defaultName, Domain: cfg.Domain}).Valid() == nil, "the name of a host"},
		{"SameSite", cfg.SameSite, cfg.SameSite >= http.SameSiteLaxMode && cfg.SameSite <= http.SameSiteNoneMode, "Lax, Strict or None"},
		{"SameSite", cfg.SameSite, cfg.SameSite != http.SameSiteNoneMode || !cfg.Insecure, "Lax or Strict with Insecure"},
		{"Name", cfg.Name, len(cfg.Name) <= longestName, fmt.Sprintf("at most %d bytes", longestName)},
		{"Audience", cfg.Audience, len(cfg.Audience) <= longestText, fmt.Sprintf("at most %d bytes", longestText)},
		{"MaxPerSubject", cfg.MaxPerSubject, cfg.MaxPerSubject >= 0, "at least 0"},
		{"IdleTimeout", cfg.IdleTimeout, cfg.IdleTimeout >= time.Second, "at least 1s"},
		{"Lifetime", cfg.Lifetime, cfg.Lifetime < 0 || cfg.Lifetime >= cfg.IdleTimeout, fmt.Sprintf("negative, for none, or at least IdleTimeout, which is %v", cfg.IdleTimeout)},
		{"RememberLifetime", cfg.RememberLifetime, cfg.RememberLifetime >= time.Second && cfg.RememberLifetime <= longestKept, fmt.Sprintf("from 1s to %v", longestKept)},
		{"TouchInterval", cfg.TouchInterval, cfg.TouchInterval > 0 && cfg.TouchInterval < cfg.IdleTimeout, fmt.Sprintf("more than 0 and less than IdleTimeout, which is %v", cfg.IdleTimeout)},
		{"StaleTTL", cfg.StaleTTL, cfg.StaleTTL >= 0 && cfg.StaleTTL <= longestStale, fmt.Sprintf("from 0 to %v", longestStale)},
	}
	for _, r := range rules {
		if !r.kept {
			return fmt.Errorf("%w: %s is %.100q, must be %s", ErrInvalidConfig, r.field, fmt.Sprint(r.value), r.bound)
		}
	}
	return nil
}
