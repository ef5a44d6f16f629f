package localserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The files and folders of a server, in its folder.
const (
	folderData    = "data"
	folderScratch = "tmp"
	fileSocket    = "s.sock"
	fileLog       = "error.log"
	fileInitial   = "initial.sql"
	fileSystem    = "system.sql"
)

// path is that of a file in the server's folder.
func (s *Server) path(name string) string { return filepath.Join(s.Folder, name) }

func (s *Server) mariadb() bool { return s.Binary.Flavor == FlavorMariaDB }

// accounts reports whether the server knows users and passwords. MySQL always does:
// without them it refuses to listen on TCP.
func (s *Server) accounts() bool { return s.options.Accounts || !s.mariadb() }

// commonArguments are those for setting up the data and for serving them alike.
// --no-defaults must be the first of all.
func (s *Server) commonArguments() []string {
	arguments := []string{
		"--no-defaults",
		"--datadir=" + s.path(folderData),
		"--tmpdir=" + s.path(folderScratch),
		"--skip-log-bin",
		"--performance-schema=OFF",
		"--innodb-data-file-path=ibdata1:5M:autoextend",
	}
	if os.Geteuid() == 0 {
		arguments = append(arguments, "--user=root")
	}
	if s.mariadb() {
		arguments = append(arguments,
			"--innodb-log-file-size=16M",
			"--innodb-temp-data-file-path=ibtmp1:5M:autoextend", // MySQL wants its own 12 MB
		)
	} else {
		// The name is new in 8.0.30; the older ones have a good default.
		arguments = append(arguments, "--loose-innodb-redo-log-capacity=32M")
	}
	if !s.options.Durable {
		arguments = append(arguments,
			"--innodb-flush-log-at-trx-commit=0",
			"--innodb-doublewrite=OFF",
			"--innodb-buffer-pool-size=32M",
		)
	}
	return arguments
}

// arguments are those for serving.
func (s *Server) arguments() []string {
	arguments := append(s.commonArguments(),
		"--socket="+s.Socket,
		"--pid-file="+s.path("pid"),
		"--skip-name-resolve",
		"--max-allowed-packet=64M",
		"--secure-file-priv="+s.Folder,
	)
	if s.options.SocketOnly {
		arguments = append(arguments, "--skip-networking")
	} else {
		arguments = append(arguments, "--bind-address="+s.Host, "--port="+strconv.Itoa(int(s.Port)))
	}
	if s.mariadb() {
		arguments = append(arguments, "--plugin-maturity=unknown")
	} else {
		arguments = append(arguments, "--loose-mysqlx=OFF")
	}
	if !s.accounts() {
		arguments = append(arguments, "--skip-grant-tables")
	}
	switch {
	case s.options.TLS:
		arguments = append(arguments,
			"--ssl-ca="+s.CA,
			"--ssl-cert="+s.path(fileServerCert),
			"--ssl-key="+s.path(fileServerKey),
		)
	case s.mariadb():
		arguments = append(arguments, "--skip-ssl") // on by itself from 11.4
	default:
		arguments = append(arguments, "--tls-version=") // the way to switch it off from 8.0.16
	}
	if !s.initialized {
		arguments = append(arguments, "--init-file="+s.path(fileInitial))
	}
	return append(arguments, s.options.Arguments...)
}

// initialStatements make the database and, where there are accounts, the one user, who
// may do everything, and nobody else: any process of the machine can reach the port.
func (s *Server) initialStatements() string {
	statements := []string{"CREATE DATABASE IF NOT EXISTS " + s.Database}
	if s.accounts() {
		if s.mariadb() {
			statements = append(statements,
				"DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys'", // which owns views and cannot log in
				"FLUSH PRIVILEGES")
		} else {
			statements = append(statements, "DROP USER IF EXISTS 'root'@'localhost'")
		}
		statements = append(statements,
			fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s'", s.Username, s.Password),
			fmt.Sprintf("GRANT ALL PRIVILEGES ON *.* TO '%s'@'%%' WITH GRANT OPTION", s.Username))
	}
	return strings.Join(statements, ";\n") + ";\n"
}
