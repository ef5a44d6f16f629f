package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mysqlsession/mysqlsession"
	"github.com/mysqlsession/mysqlsession/internal/localserver"
)

const (
	dsnsVariable   = "MYSQLSESSION_TEST_DSNS"
	caVariable     = "MYSQLSESSION_TEST_CA"
	imagesVariable = "MYSQLSESSION_TEST_IMAGES"

	flavorMySQL   = "mysql"
	flavorMariaDB = "mariadb"
)

// errNoServer tells a newcomer the shortest ways out.
var errNoServer = errors.New(`no database server to test on. One of these helps:
  - install one, which starts no service: apt-get install mariadb-server-core
    (or run "make test", which does that)
  - start a Docker engine: the tests run ` + defaultImages + ` in it
  - name running servers: ` + dsnsVariable + `="mysql://user:password@127.0.0.1:3306/"`)

// start starts, or finds, every server there is to test on.
func start() ([]Server, error) {
	// Data directories are initialised and images pulled in this time.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if dsns := strings.Fields(os.Getenv(dsnsVariable)); len(dsns) > 0 {
		return fromDSNs(ctx, dsns)
	}
	servers, err := privateInstances(ctx)
	if err != nil {
		return nil, err
	}
	contained, err := containers(ctx)
	if err != nil {
		return nil, err
	}
	servers = append(servers, contained...)
	if len(servers) == 0 {
		return nil, errNoServer
	}
	return servers, nil
}

func fromDSNs(ctx context.Context, dsns []string) ([]Server, error) {
	servers := make([]Server, 0, len(dsns))
	for i, dsn := range dsns {
		cfg, err := mysqlsession.ParseConfig(dsn)
		if err != nil {
			return nil, fmt.Errorf("%s, entry %d: %w", dsnsVariable, i+1, err)
		}
		server := Server{Config: cfg}
		if cfg.Host != "" {
			server.Socket, server.Config.Socket = cfg.Socket, ""
		}
		if transportName(server.Config) == "tcp" {
			server.CA = os.Getenv(caVariable)
		}
		if err := server.identify(ctx, ""); err != nil {
			return nil, fmt.Errorf("%s, entry %d: %w", dsnsVariable, i+1, err)
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// privateInstances starts a throw-away instance of every server program on this
// machine, with accounts and TLS, since logins are a part of what is tested.
func privateInstances(ctx context.Context) ([]Server, error) {
	var servers []Server
	for _, binary := range localserver.Find() {
		instance, err := localserver.Start(ctx, localserver.Options{Binary: binary, Accounts: true, TLS: true})
		if err != nil {
			return nil, fmt.Errorf("starting %s: %w", binary.Path, err)
		}
		process.stop = append(process.stop, instance.Stop)
		server, err := serverOf(ctx, instance)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// serverOf is an instance as tests see it.
func serverOf(ctx context.Context, instance *localserver.Server) (Server, error) {
	server := Server{
		Config: mysqlsession.Config{
			Host: instance.Host, Port: instance.Port,
			Username: instance.Username, Password: instance.Password,
		},
		CA:     instance.CA,
		Socket: instance.Socket,
	}
	if err := server.identify(ctx, ""); err != nil {
		return Server{}, fmt.Errorf("%s was started: %w", instance.Binary.Path, err)
	}
	return server, nil
}

// identify asks the server what it is and names it.
func (s *Server) identify(ctx context.Context, suffix string) error {
	s.Config.Database = ""
	db, err := s.open("")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.Version); err != nil {
		return fmt.Errorf("asking the server for its version: %w", err)
	}
	s.Flavor = flavorMySQL
	if strings.Contains(s.Version, "MariaDB") {
		s.Flavor = flavorMariaDB
	}
	number, _, _ := strings.Cut(s.Version, "-")
	s.Name = s.Flavor + "-" + number + suffix
	return nil
}
