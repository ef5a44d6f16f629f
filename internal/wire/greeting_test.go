package wire_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

func greeting() wire.Greeting {
	return wire.Greeting{
		ServerVersion: "5.5.5-10.11.6-MariaDB",
		ConnectionID:  42,
		AuthData:      [wire.AuthDataSize]byte([]byte("abcdefghijklmnopqrst")),
		Capabilities:  wire.CapabilityProtocol41 | wire.CapabilitySecureConn | wire.CapabilityPluginAuth | wire.CapabilitySSL,
		Collation:     45,
		Status:        wire.StatusAutocommit,
		Plugin:        "mysql_native_password",
	}
}

func TestAGreetingIsReadAsItWasWritten(t *testing.T) {
	want := greeting()
	got, err := wire.ParseGreeting(wire.AppendGreeting(nil, &want))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestAGreetingMayLeaveTheEndingNULOfItsRandomDataUncounted(t *testing.T) {
	want := greeting()
	payload := wire.AppendGreeting(nil, &want)
	at := 1 + len(want.ServerVersion) + 1 + 4 + 8 + 1 + 2 + 1 + 2 + 2
	require.EqualValues(t, wire.AuthDataSize+1, payload[at])
	payload[at] = wire.AuthDataSize
	got, err := wire.ParseGreeting(payload)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestAGreetingCutAnywhereIsMalformed(t *testing.T) {
	g := greeting()
	payload := wire.AppendGreeting(nil, &g)
	for n := range payload {
		_, err := wire.ParseGreeting(payload[:n])
		require.ErrorIs(t, err, wire.ErrMalformed, "%d bytes", n)
	}
}

func TestAGreetingThatIsNotOfProtocol10IsMalformed(t *testing.T) {
	whole := greeting()
	text := len(whole.ServerVersion)
	for name, change := range map[string]func(payload []byte){
		"protocol 9":                  func(p []byte) { p[0] = 9 },
		"X protocol":                  func(p []byte) { p[0] = 11 },
		"no filler":                   func(p []byte) { p[1+text+1+4+8] = 1 },
		"no protocol 4.1":             func(p []byte) { p[1+text+1+4+8+1+1] &^= 0x02 },
		"no 20 bytes of random data":  func(p []byte) { p[1+text+1+4+8+1+1] &^= 0x80 },
		"no plugins":                  func(p []byte) { p[1+text+1+4+8+1+2+1+2] &^= 0x08 },
		"8 bytes of random data":      func(p []byte) { p[1+text+1+4+8+1+2+1+2+2] = 8 },
		"255 bytes of random data":    func(p []byte) { p[1+text+1+4+8+1+2+1+2+2] = 255 },
		"random data not ending":      func(p []byte) { p[1+text+1+4+8+1+2+1+2+2+1+10+12] = 1 },
		"plugin name that never ends": func(p []byte) { p[len(p)-1] = 'x' },
	} {
		payload := wire.AppendGreeting(nil, &whole)
		change(payload)
		_, err := wire.ParseGreeting(payload)
		require.ErrorIs(t, err, wire.ErrMalformed, name)
	}
}

func TestARequestForAnotherMethodNeedsItsNameAndItsNUL(t *testing.T) {
	s, err := wire.ParseAuthSwitch([]byte("\xfeclient_ed25519\x00data"))
	require.NoError(t, err)
	require.Equal(t, wire.AuthSwitch{Plugin: "client_ed25519", Data: []byte("data")}, s)
	for _, payload := range []string{"", "\xfe", "\xfe\x00", "\xfe\x00data", "\xfename", "\x00name\x00"} {
		_, err := wire.ParseAuthSwitch([]byte(payload))
		require.ErrorIs(t, err, wire.ErrMalformed, "%q", payload)
	}
}

func TestMoreDataIsNeverEmpty(t *testing.T) {
	data, err := wire.ParseMoreData([]byte{1, 4})
	require.NoError(t, err)
	require.Equal(t, []byte{4}, data)
	for _, payload := range []string{"", "\x01", "\x02\x04"} {
		_, err := wire.ParseMoreData([]byte(payload))
		require.ErrorIs(t, err, wire.ErrMalformed, "%q", payload)
	}
}

func TestALoginAnswerIsToldByItsFirstByte(t *testing.T) {
	for first := range 256 {
		kind, err := wire.LoginKind([]byte{byte(first), 'B'})
		switch first {
		case 0x00:
			require.Equal(t, wire.LoginOK, kind)
		case 0x01:
			require.Equal(t, wire.LoginMoreData, kind)
		case 0xfe:
			require.Equal(t, wire.LoginSwitch, kind)
		case 0xff:
			require.Equal(t, wire.LoginError, kind)
		default:
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
	}
	_, err := wire.LoginKind(nil)
	require.ErrorIs(t, err, wire.ErrMalformed)
}

func TestAnSQLStateThatIsNoneIsNotPassedOn(t *testing.T) {
	f, err := wire.ParseFailure([]byte("\xff\x15\x04#\n\x1b[0mtext"))
	require.NoError(t, err)
	require.Equal(t, "HY000", f.State)
	f, err = wire.ParseFailure([]byte("\xff\x15\x04#28000text"))
	require.NoError(t, err)
	require.Equal(t, "28000", f.State)
	require.Equal(t, "text", string(f.Message))
}

func FuzzParseGreeting(f *testing.F) {
	g := greeting()
	whole := wire.AppendGreeting(nil, &g)
	f.Add(whole)                                               // honest
	f.Add([]byte{})                                            // empty packet
	f.Add(whole[:1])                                           // nothing but the protocol version
	f.Add(bytes.Repeat([]byte{10}, 64))                        // version text that never ends
	f.Add(whole[:1+len(g.ServerVersion)+1+4+8+1+2+1+2+2])      // random data promised, none sent
	f.Add(append(bytes.Clone(whole[:len(whole)-1]), "xyz"...)) // plugin name that never ends
	f.Fuzz(func(t *testing.T, payload []byte) {
		g, err := wire.ParseGreeting(payload)
		if err != nil {
			require.Equal(t, wire.Greeting{}, g)
			return
		}
		again, err := wire.ParseGreeting(wire.AppendGreeting(nil, &g))
		require.NoError(t, err)
		require.Equal(t, g, again)
	})
}

func FuzzParseAuthSwitch(f *testing.F) {
	f.Add([]byte("\xfemysql_native_password\x00abcdefghijklmnopqrst\x00")) // honest
	f.Add([]byte("\xfe"))                                                  // the request of before 4.1
	f.Add([]byte("\xfe\x00"))                                              // empty name: success without a password
	f.Add([]byte("\xfemysql_clear_password"))                              // name that never ends
	f.Add([]byte("\xfemysql_native_password\x00abc"))                      // short random data
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := wire.ParseAuthSwitch(payload)
		if err == nil {
			require.Equal(t, payload, wire.AppendAuthSwitch(nil, s))
			require.NotContains(t, s.Plugin, "\x00")
		}
	})
}

func FuzzParseMoreData(f *testing.F) {
	f.Add([]byte{1, 3})                           // fast authentication
	f.Add([]byte{1})                              // nothing
	f.Add([]byte("\x01-----BEGIN PUBLIC KEY---")) // half a key
	f.Fuzz(func(t *testing.T, payload []byte) {
		data, err := wire.ParseMoreData(payload)
		if err == nil {
			require.NotEmpty(t, data)
			require.Equal(t, payload, wire.AppendMoreData(nil, data))
		}
	})
}

func FuzzLoginKind(f *testing.F) {
	f.Add([]byte{})                  // empty packet
	f.Add([]byte("B junk"))          // a first byte that some take for an error
	f.Add([]byte("\xfb/etc/passwd")) // a request for a local file
	f.Fuzz(func(t *testing.T, payload []byte) {
		if kind, err := wire.LoginKind(payload); err == nil {
			require.LessOrEqual(t, kind, wire.LoginMoreData)
		}
	})
}
