package httpsession

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

// Store is what a Manager needs of a *mysqlsession.Store.
type Store interface {
	Get(ctx context.Context, name, key string) ([]byte, error)
	Set(ctx context.Context, name, key string, value []byte, ttl time.Duration, opts *mysqlsession.SetOptions) error
	Update(ctx context.Context, name, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error
	Touch(ctx context.Context, name, key string, ttl time.Duration) error
	Delete(ctx context.Context, name, key string) error
	DeleteSubject(ctx context.Context, name, audience, subject string) (int64, error)
}

var _ Store = (*mysqlsession.Store)(nil)

// staleSuffix is added to the name under which a replaced session can be read for StaleTTL.
const staleSuffix = "~old"

// Manager gives handlers their sessions, each of which holds a T, kept as JSON. T is best a
// struct; fields that it does not know are lost when it is saved. A Manager is safe for
// concurrent use, and an application may have several, with different cookies.
type Manager[T any] struct {
	store  Store
	config Config
	recent *recent
}

// New makes a Manager. The store stays the caller's. Errors: ErrInvalidConfig.
func New[T any](store Store, cfg Config) (*Manager[T], error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Manager[T]{store: store, config: cfg, recent: newRecent(cfg.TouchInterval, recentLimit)}, nil
}

// Name is what sessions are stored under, for those who call the store.
func (m *Manager[T]) Name() string { return m.config.Name }

// Handler gives the requests that next serves their sessions. Around what needs no session,
// such as files, it costs a read for nothing. http.TimeoutHandler belongs around it, not
// inside: it lets a handler run on while it answers for it.
func (m *Manager[T]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(m) != nil {
			next.ServeHTTP(w, r) // there is one around this one
			return
		}
		s := &Session[T]{manager: m, request: r}
		if !m.config.Lazy {
			if err := s.load(r.Context()); err != nil {
				m.config.ErrorHandler(w, r, err)
				return
			}
		}
		response := &response{
			ResponseWriter: w,
			before:         w.Header().Clone(),
			commit:         s.commit,
			tell:           s.tell,
			fail:           func(w http.ResponseWriter, err error) { m.config.ErrorHandler(w, r, err) },
		}
		// The manager itself is the key: another one's session is of another type.
		next.ServeHTTP(response, r.WithContext(context.WithValue(r.Context(), m, s)))
		response.finish()
		s.finish()
	})
}

// From is the session of the request whose context it is. It panics if Handler has not
// served the request, or, with Config.Lazy, if Load has not read the session.
func (m *Manager[T]) From(ctx context.Context) *Session[T] {
	s := m.of(ctx)
	if !s.loaded {
		panic("httpsession: From before Load, with Config.Lazy")
	}
	s.used = true
	return s
}

// Load is From for Config.Lazy: the first call in a request reads the session. An error is
// that of the store's Get and says nothing about who is signed in: answer with 503. There is
// no session with it.
func (m *Manager[T]) Load(ctx context.Context) (*Session[T], error) {
	s := m.of(ctx)
	s.used = true
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (m *Manager[T]) of(ctx context.Context) *Session[T] {
	s, ok := ctx.Value(m).(*Session[T])
	if !ok {
		panic("httpsession: no session in the context: the manager's Handler must be around this one")
	}
	return s
}

// SignOutEverywhere ends all sessions that SignIn has given to the subject, and says how
// many there were. The one of the request is among them; Destroy takes its cookie too.
// Errors are those of the store's DeleteSubject.
func (m *Manager[T]) SignOutEverywhere(ctx context.Context, subject string) (int64, error) {
	count, err := m.store.DeleteSubject(ctx, m.config.Name, m.config.Audience, subject)
	if err == nil && m.config.StaleTTL > 0 {
		_, err = m.store.DeleteSubject(ctx, m.config.Name+staleSuffix, m.config.Audience, subject)
	}
	return count, err
}

// answerError is the default ErrorHandler.
func (cfg *Config) answerError(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) || r.Context().Err() == nil { // else the visitor has gone
		cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "httpsession: no session",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	status := http.StatusServiceUnavailable
	for _, lasting := range []error{
		errEncoding, mysqlsession.ErrInvalidName, mysqlsession.ErrInvalidTTL, mysqlsession.ErrValueTooLarge, mysqlsession.ErrTextColumn,
	} {
		if errors.Is(err, lasting) {
			status = http.StatusInternalServerError
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}
