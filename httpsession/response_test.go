package httpsession_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/httpsession"
)

// respondBy are the ways of handlers to answer, each with "hello" or nothing.
var respondBy = map[string]func(w http.ResponseWriter, r *http.Request){
	"nothing":     func(http.ResponseWriter, *http.Request) {},
	"header":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
	"no content":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	"error":       func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hello", http.StatusTeapot) },
	"redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/hello", http.StatusSeeOther) },
	"write":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
	"string":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
	"copy": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(strings.NewReader("hello"), 9))
	},
	"content": func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "hello.txt", time.Time{}, bytes.NewReader([]byte("hello")))
	},
	"flush": func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write([]byte("hello"))
	},
	"controller": func(w http.ResponseWriter, _ *http.Request) {
		controller := http.NewResponseController(w)
		_ = controller.SetWriteDeadline(time.Time{})
		_ = controller.Flush()
		_, _ = w.Write([]byte("hello"))
	},
	"early hints": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = w.Write([]byte("hello"))
	},
}

// counting is a handler that changes the session and answers.
func counting(sessions *manager, respond func(w http.ResponseWriter, r *http.Request)) http.Handler {
	return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Handler", "was here")
		sessions.From(r.Context()).Value().Count++
		respond(w, r)
	}))
}

func TestTheSessionIsSavedBeforeTheResponseHoweverItIsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for name, respond := range respondBy {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for protocol, transport := range map[string]http.RoundTripper{"HTTP/1.1": plainTransport(s), "HTTP/2.0": s.server.Client().Transport} {
					t.Run(name+" "+method+" "+protocol, func(t *testing.T) {
						plain, with := s.browser().over(transport), s.browser().over(transport)
						s.handle(http.HandlerFunc(respond))
						want := plain.send(method)
						s.handle(counting(s.sessions, respond))
						got := with.send(method)
						assert.Equal(t, protocol, got.Proto)
						assert.Equal(t, want.StatusCode, got.StatusCode)
						assert.Equal(t, want.body, got.body)
						assert.Equal(t, want.ContentLength, got.ContentLength)
						assert.Equal(t, want.Header.Get("Content-Type"), got.Header.Get("Content-Type"))
						require.NotEmpty(t, with.id())
						value, _ := with.sees()
						assert.Equal(t, 1, value.Count)
					})
				}
			}
		}
	})
}

func TestASessionThatCannotBeSavedIs503WhateverTheHandlerWrote(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.failing.with(mysqlsession.ErrUnavailable)
		for name, respond := range respondBy {
			t.Run(name, func(t *testing.T) {
				b := s.browser()
				around := counting(s.sessions, respond)
				s.handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Around", "stays")
					around.ServeHTTP(w, r)
				}))
				a := b.send(http.MethodGet)
				assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
				assert.Equal(t, "Service Unavailable\n", a.body)
				assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
				assert.Equal(t, "stays", a.Header.Get("X-Around"))
				for _, name := range []string{"X-Handler", "Set-Cookie", "Location", "Etag"} {
					assert.Empty(t, a.Header[name])
				}
			})
		}
		assert.Zero(t, s.rows())
	})
}

func TestTheHandlerIsToldThatItsResponseIsDropped(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		failure := errors.New("the table is gone")
		s.failing.with(failure)
		s.handle(counting(s.sessions, func(w http.ResponseWriter, _ *http.Request) {
			for _, write := range []func() error{
				func() error { _, err := w.Write([]byte("x")); return err },
				func() error { _, err := io.WriteString(w, "x"); return err },
				func() error { _, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")); return err },
				func() error { return http.NewResponseController(w).Flush() },
				func() error { _, _, err := http.NewResponseController(w).Hijack(); return err },
			} {
				assert.ErrorIs(t, write(), failure)
			}
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		}))
		for _, transport := range []http.RoundTripper{s.server.Client().Transport, plainTransport(s)} {
			assert.Equal(t, http.StatusServiceUnavailable, s.browser().over(transport).send(http.MethodGet).StatusCode)
		}
		assert.NotContains(t, s.logged.String(), "superfluous")
	})
}

// explosive is a value that cannot be encoded once it has been lit.
type explosive struct{ lit bool }

func (e explosive) MarshalJSON() ([]byte, error) {
	if e.lit {
		panic("bang")
	}
	return []byte("{}"), nil
}

func TestAHandlerThatGoesOnAfterAPanicInTheMiddleOfASaveIsNotBelieved(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		sessions, err := httpsession.New[explosive](s.store, httpsession.Config{})
		require.NoError(t, err)
		s.handle(sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.From(r.Context()).Value().lit = true
			assert.PanicsWithValue(t, "bang", func() { w.WriteHeader(http.StatusOK) })
			_, err := io.WriteString(w, "it is stored")
			assert.Error(t, err)
			panic(http.ErrAbortHandler)
		})))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := s.server.Client().Do(request)
		if !assert.Error(t, err) {
			_ = response.Body.Close()
		}
		assert.Zero(t, s.rows())
	})
}

func TestAnOutageIs503AndNoSignOut(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		id := b.id()
		require.NoError(t, s.store.Close())
		s.handle(s.sessions.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })))
		a := b.send(http.MethodGet)
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Empty(t, a.Header["Set-Cookie"])
		assert.Equal(t, id, b.id())
		assert.Contains(t, s.logged.String(), "closed")
		assert.NotContains(t, s.logged.String(), id)

		s.handle(s.sessions.Handler(http.NotFoundHandler()))
		assert.Equal(t, http.StatusNotFound, s.browser().send(http.MethodGet).StatusCode, "who has no cookie needs no database")
	})
}

func TestASignOutThatFailsIsNotSaidToBeDone(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		s.failing.with(mysqlsession.ErrUnavailable)
		s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.sessions.From(r.Context()).Destroy() })))
		a := b.send(http.MethodPost)
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Empty(t, a.Header["Set-Cookie"])
		s.failing.with(nil)
		_, subject := b.sees()
		assert.Equal(t, "ada", subject)
	})
}

// Save has ended the id that the browser came with, so an error that keeps the new one from it
// would sign it out.
func TestWhatFailsAfterASaveLeavesTheBrowserTheSessionThatWasSaved(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		for name, change := range map[string]func(*session){"change": count, "rotation": (*session).Rotate} {
			t.Run(name, func(t *testing.T) { failsAfterSave(t, s, change) })
		}
	})
}

func failsAfterSave(t *testing.T, s *site, change func(*session)) {
	b := s.browser()
	b.does(func(s *session) { s.SignIn("ada") })
	s.handle(s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session := s.sessions.From(r.Context())
		session.Rotate()
		assert.NoError(t, session.Save(r.Context()))
		s.failing.with(mysqlsession.ErrUnavailable)
		change(session)
	})))
	a := b.send(http.MethodPost)
	assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	assert.Len(t, a.Header["Set-Cookie"], 1)
	s.failing.with(nil)
	_, subject := b.sees()
	assert.Equal(t, "ada", subject)
}

func TestATouchThatFailsFailsNoRequestAndIsTriedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		s.pass(2 * time.Minute)
		s.failing.with(mysqlsession.ErrUnavailable)
		value, _ := b.sees()
		assert.Equal(t, 1, value.Count)
		assert.Contains(t, s.logged.String(), "not extended")
		s.failing.with(nil)
		s.called()
		b.sees()
		assert.Equal(t, calls{"get": 1, "touch": 1}, s.called())
	})
}

func TestAHandlerThatPanicsStoresNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		handler := counting(s.sessions, func(http.ResponseWriter, *http.Request) { panic("a bug") })
		s.handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				assert.Equal(t, "a bug", recover())
				http.Error(w, "sorry", http.StatusInternalServerError)
			}()
			handler.ServeHTTP(w, r)
		}))
		for _, b := range []*browser{b, s.browser()} {
			a := b.send(http.MethodPost)
			assert.Equal(t, http.StatusInternalServerError, a.StatusCode)
			assert.Empty(t, a.Header["Set-Cookie"])
		}
		value, _ := b.sees()
		assert.Equal(t, 1, value.Count)
		assert.Equal(t, 1, s.rows())
	})
}

func TestWhatChangesWhileTheResponseIsSentIsStoredIfTheCookieStays(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.handle(s.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello")
			s.sessions.From(r.Context()).Value().Count++
		})))
		nobody := s.browser()
		assert.Equal(t, "hello", nobody.send(http.MethodGet).body)
		assert.Empty(t, nobody.id())
		assert.Zero(t, s.rows())
		assert.Contains(t, s.logged.String(), httpsession.ErrResponseBegun.Error())

		b := s.browser()
		b.count()
		s.handle(s.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session := s.sessions.From(r.Context())
			_, _ = io.WriteString(w, "hello")
			session.Value().Count++
			assert.NoError(t, session.Save(r.Context()))
			session.Value().Count++
			session.Rotate()
			assert.ErrorIs(t, session.Save(r.Context()), httpsession.ErrResponseBegun)
			session.Destroy()
		})))
		s.called()
		assert.Equal(t, "hello", b.send(http.MethodGet).body)
		assert.Equal(t, calls{"get": 1, "set": 1, "delete": 1}, s.called())
		assert.Zero(t, s.rows())
	})
}

func TestSaveStoresASessionAtOnceAndTheResponseSetsItsCookie(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		var id string
		b.does(func(session *session) {
			session.Value().Count++
			require.NoError(t, session.Save(context.Background()))
			id = session.ID()
			assert.Equal(t, 1, s.rows())
		})
		assert.Equal(t, id, b.id())
		assert.Equal(t, calls{"set": 1}, only(s.called(), "set", "touch"))
	})
}

func only(made calls, operations ...string) calls {
	some := calls{}
	for _, operation := range operations {
		if made[operation] > 0 {
			some[operation] = made[operation]
		}
	}
	return some
}

func TestAVisitorWhoHasGoneHasSignedOutAllTheSame(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.does(func(s *session) { s.SignIn("ada") })
		handler := s.sessions.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r.Context().Value(cancelKey{}).(context.CancelFunc)()
			<-r.Context().Done()
			s.sessions.From(r.Context()).Destroy()
		}))
		s.handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			handler.ServeHTTP(w, r.WithContext(context.WithValue(ctx, cancelKey{}, cancel)))
		}))
		b.send(http.MethodPost)
		assert.Zero(t, s.rows())
	})
}

type cancelKey struct{}

func TestEarlyHintsComeBeforeTheSessionIsSaved(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.handle(counting(s.sessions, func(w http.ResponseWriter, _ *http.Request) {
			assert.Zero(t, s.rows())
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			assert.Zero(t, s.rows())
		}))
		var hints []int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			assert.Empty(t, header["Set-Cookie"])
			hints = append(hints, code)
			return nil
		}})
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := s.server.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, 2, response.ProtoMajor)
		assert.Equal(t, []int{http.StatusEarlyHints}, hints)
		assert.NotEmpty(t, response.Header["Set-Cookie"])
	})
}

func TestAConnectionIsTakenOverWithTheSessionSaved(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		b.count()
		b.client.Transport = plainTransport(s)
		s.handle(counting(s.sessions, func(w http.ResponseWriter, _ *http.Request) {
			connection, buffer, err := w.(http.Hijacker).Hijack()
			require.NoError(t, err)
			defer func() { _ = connection.Close() }()
			value, _ := s.browser().brings(b.id()).stored(s)
			assert.Equal(t, 2, value.Count)
			upgrade(buffer)
		}))
		a := b.send(http.MethodGet)
		assert.Equal(t, "taken", a.body)
		s.handle(counting(s.sessions, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusSwitchingProtocols)
		}))
		a = s.browser().over(plainTransport(s)).send(http.MethodGet)
		assert.Equal(t, http.StatusSwitchingProtocols, a.StatusCode)
		assert.NotEmpty(t, a.Header["Set-Cookie"])
	})
}

func TestOverHTTP2ThereIsNothingToTakeOverAndTheHandlerCanSaySo(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		b := s.browser()
		s.handle(counting(s.sessions, func(w http.ResponseWriter, _ *http.Request) {
			_, _, err := w.(http.Hijacker).Hijack()
			require.ErrorIs(t, err, http.ErrNotSupported)
			http.Error(w, "no", http.StatusHTTPVersionNotSupported)
		}))
		a := b.send(http.MethodGet)
		assert.Equal(t, http.StatusHTTPVersionNotSupported, a.StatusCode)
		assert.NotEmpty(t, b.id())
	})
}

// plainTransport speaks HTTP/1.1.
func plainTransport(s *site) *http.Transport {
	transport := s.server.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	s.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (b *browser) over(transport http.RoundTripper) *browser {
	b.client.Transport = transport
	return b
}

// stored is what the row of the browser's session holds.
func (b *browser) stored(s *site) (content, bool) {
	row, err := s.store.Get(s.t.Context(), s.sessions.Name(), b.id())
	if err != nil {
		return content{}, false
	}
	var c content
	_, err = fmt.Sscanf(string(row[bytes.Index(row, []byte(`"count":`)):]), `"count":%d`, &c.Count)
	return c, err == nil
}

func upgrade(buffer *bufio.ReadWriter) {
	_, _ = buffer.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken")
	_ = buffer.Flush()
}
