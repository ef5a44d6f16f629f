// Package localserver starts a real MariaDB or MySQL server of one's own, in a
// temporary folder, on loopback, and takes all of it away again: for demonstrations
// and tests that want the real thing without asking anyone to install and configure
// one. A bare MariaDB answers after about 100 ms; MySQL needs 2 to 3 s, nearly all of
// them for its data dictionary.
//
// Nothing is left behind, not even when the program that started the server is killed.
// Two things see to that: on Linux the kernel ends the server with the thread that
// started it, and everywhere a watchdog, a small process of the same program, waits on
// a pipe that breaks when the program ends, then ends the server and removes its
// folder. So a program that calls Start must call Watchdog first in its main, and a
// test binary first in its TestMain:
//
//	func TestMain(m *testing.M) {
//		localserver.Watchdog()
//		os.Exit(m.Run())
//	}
//
// The package needs nothing but the standard library and a server binary; on Debian the
// package mariadb-server-core is enough, which starts no service. It runs servers on
// Unix systems only; elsewhere Start returns errors.ErrUnsupported.
package localserver
