package main

import (
	"os"
	"os/exec"
)

// installHint is a sentence with the one command that puts a server on this machine.
func installHint() string {
	for _, manager := range []struct {
		program, command string
		unprivileged     bool
	}{
		{program: "apt-get", command: "apt-get install --no-install-recommends mariadb-server-core"},
		{program: "dnf", command: "dnf install mariadb-server"},
		{program: "microdnf", command: "microdnf install mariadb-server"},
		{program: "yum", command: "yum install mariadb-server"},
		{program: "apk", command: "apk add mariadb"},
		{program: "pacman", command: "pacman -S mariadb"},
		{program: "zypper", command: "zypper install mariadb"},
		{program: "brew", command: "brew install mariadb", unprivileged: true},
	} {
		if _, err := exec.LookPath(manager.program); err != nil {
			continue
		}
		if os.Geteuid() == 0 || manager.unprivileged {
			return "this installs one: " + manager.command
		}
		return "this installs one: sudo " + manager.command
	}
	return "install MariaDB, from https://mariadb.org/download/, or MySQL"
}
