package dbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	testcontainerslog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/mysqlsession/mysqlsession"
)

const (
	defaultImages = "mysql:8.4 mariadb:11.4"
	// noImages is the value of MYSQLSESSION_TEST_IMAGES that asks for no containers.
	noImages = "none"
	// containerPassword protects a server that only this machine can reach, for as
	// long as the tests run.
	containerPassword = "session"
	containerPort     = "3306/tcp"
)

// containers starts a container of each image when a Docker engine answers.
func containers(ctx context.Context) ([]Server, error) {
	images := os.Getenv(imagesVariable)
	if images == noImages {
		return nil, nil
	}
	if err := engineAnswers(ctx); err != nil {
		if images != "" {
			return nil, fmt.Errorf("%s asks for containers: %w", imagesVariable, err)
		}
		return nil, nil
	}
	if images == "" {
		images = defaultImages
	}
	var servers []Server
	for image := range strings.FieldsSeq(images) {
		server, err := startContainer(ctx, image)
		if err != nil {
			return nil, fmt.Errorf("container of %s (%s names other images, or %q for none): %w",
				image, imagesVariable, noImages, err)
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// engineAnswers is nil when there is a Docker engine.
func engineAnswers(ctx context.Context) (err error) {
	// Looking for an engine, testcontainers panics where it finds no trace of one.
	defer func() {
		if found := recover(); found != nil {
			err = fmt.Errorf("no Docker engine: %v", found)
		}
	}()
	testcontainerslog.SetDefault(log.New(io.Discard, "", 0))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	provider, err := testcontainers.ProviderDefault.GetProvider()
	if err != nil {
		return fmt.Errorf("no Docker engine: %w", err)
	}
	return errors.Join(provider.Health(ctx), provider.Close())
}

func startContainer(ctx context.Context, image string) (Server, error) {
	server := Server{Config: mysqlsession.Config{Username: "root", Password: containerPassword}}
	address := func(host string, port network.Port) string {
		server.Config.Host, server.Config.Port = host, port.Num()
		return server.driverConfig("").FormatDSN()
	}
	container, err := testcontainers.Run(ctx, image,
		testcontainers.WithEnv(map[string]string{"MYSQL_ROOT_PASSWORD": containerPassword}),
		testcontainers.WithExposedPorts(containerPort),
		// The entry points of the official images run the server once without a network
		// to set it up: a login over TCP tells the real one from that.
		testcontainers.WithWaitStrategy(wait.ForSQL(containerPort, "mysql", address).WithStartupTimeout(3*time.Minute)),
	)
	if container != nil {
		process.stop = append(process.stop, func() error { return testcontainers.TerminateContainer(container) })
	}
	if err != nil {
		return Server{}, err
	}
	if err := server.identify(ctx, "-container"); err != nil {
		return Server{}, err
	}
	server.Encrypts, err = server.offersTLS(ctx)
	return server, err
}

// offersTLS says whether the server takes TLS.
func (s Server) offersTLS(ctx context.Context) (bool, error) {
	s.Config.SSLMode = mysqlsession.SSLModeRequired
	db, err := s.open("")
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	err = db.PingContext(ctx)
	if errors.Is(err, mysql.ErrNoTLS) {
		return false, nil
	}
	return err == nil, err
}
