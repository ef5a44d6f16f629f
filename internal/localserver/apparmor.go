package localserver

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is a command that runs the server. Ubuntu's MySQL, and newer MariaDBs, come
// with an AppArmor profile that denies them every folder but the system's. A profile goes
// with the path of the program that the kernel starts, so such a server is started by way
// of its loader, as one of the user's own programs.
func (s *Server) program(arguments ...string) *exec.Cmd {
	if s.options.confined(s.Binary.Path) {
		if loader := loaderOf(s.Binary.Path); loader != "" {
			return exec.Command(loader, append([]string{s.Binary.Path}, arguments...)...)
		}
	}
	return exec.Command(s.Binary.Path, arguments...)
}

// confined reports whether there is a profile for the program, and a kernel that heeds it.
func confined(path string) bool { return confinedBelow("/", path) }

func confinedBelow(root, path string) bool {
	enabled, err := os.ReadFile(filepath.Join(root, "sys/module/apparmor/parameters/enabled"))
	if err != nil || !strings.HasPrefix(string(enabled), "Y") {
		return false
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	// /usr/sbin/mysqld has the profile usr.sbin.mysqld.
	profile := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".")
	_, err = os.Stat(filepath.Join(root, "etc/apparmor.d", profile))
	_, disabled := os.Lstat(filepath.Join(root, "etc/apparmor.d/disable", profile))
	return err == nil && disabled != nil
}

// loaderOf returns the program that loads this one, which it names itself; "" when it
// needs none or is no such program.
func loaderOf(path string) string {
	file, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	section := file.Section(".interp")
	if section == nil {
		return ""
	}
	name, err := section.Data()
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(name), "\x00")
}
