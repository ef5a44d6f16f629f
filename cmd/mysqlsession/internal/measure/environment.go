package measure

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Environment is what was measured on.
type Environment struct {
	When      time.Time `json:"when"`
	Processor string    `json:"processor,omitempty"`
	Cores     int       `json:"cores"` // that this process may use
	System    string    `json:"system"`
	Go        string    `json:"go"`
	Driver    string    `json:"driver"` // of database/sql
	Server    Server    `json:"server"`
	Where     string    `json:"where"` // the database is, for people
}

// NewEnvironment is this machine's, with the server and where that is.
func NewEnvironment(server Server, where string) Environment {
	return Environment{
		When: time.Now().Truncate(time.Second), Processor: processor(), Cores: runtime.GOMAXPROCS(0),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Driver: moduleVersion("github.com/go-sql-driver/mysql"), Server: server, Where: where,
	}
}

// processor is its name where the system tells it in a file.
func processor() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// moduleVersion is a module's path and version, as it was built in.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return path + " " + module.Version
			}
		}
	}
	return path
}
