// SPDX-License-Identifier: AGPL-3.0-or-later

package images

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// TestComposeFiles reads the files with the parser of Docker Compose, whose rules for included files, merged keys and paths are not
// those of podman-compose, which starts them in the other tests.
func TestComposeFiles(t *testing.T) {
	root := harness.Root(t)
	required := []string{
		"Z4J_SECRET=a", "Z4J_SESSION_SECRET=b", "POSTGRES_PASSWORD=c", "Z4J_PUBLIC_URL=https://z4j.example.com", "Z4J_ALLOWED_HOSTS=z4j.example.com",
	}
	caddy := []string{"Z4J_DOMAIN=z4j.example.com", "Z4J_ACME_EMAIL=ops@example.com"}
	monitoring := []string{"Z4J_METRICS_AUTH_TOKEN=d", "GRAFANA_PASSWORD=e"}
	tests := map[string]struct {
		files    []string
		env      []string
		services []string
	}{
		"sqlite":         {[]string{"docker-compose.yml"}, nil, []string{"z4j"}},
		"sqlite_caddy":   {[]string{"docker-compose.yml", "docker-compose.caddy.yml"}, caddy, []string{"z4j", "z4j-caddy"}},
		"postgres":       {[]string{"docker-compose.postgres.yml"}, required, []string{"z4j", "z4j-postgres"}},
		"postgres_caddy": {[]string{"docker-compose.postgres.yml", "docker-compose.caddy.yml"}, slices.Concat(required, caddy), []string{"z4j", "z4j-caddy", "z4j-postgres"}},
		"services": {
			[]string{"docker-compose.services.yml", "docker-compose.monitoring.yml"},
			slices.Concat(required, monitoring, []string{"Z4J_HOP_KEY=f"}),
			[]string{"api", "audit", "grafana", "ingest", "migrate", "otel-collector", "prometheus", "z4j", "z4j-postgres", "z4j-redis"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			project, err := load(t, root, test.files, test.env)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.services {
				if _, ok := project.Services[want]; !ok {
					t.Errorf("there is no service %s", want)
				}
			}
			for _, service := range project.Services {
				paths(t, root, service)
			}
			if len(test.env) == 0 {
				return
			}
			// The first of the required values is missed by its name.
			missing, _, _ := strings.Cut(test.env[0], "=")
			if _, err := load(t, root, test.files, test.env[1:]); err == nil || !strings.Contains(err.Error(), "set "+missing+" in .env") {
				t.Errorf("without %s the answer is %v", missing, err)
			}
		})
	}
}

func load(t *testing.T, root string, files, env []string) (*types.Project, error) {
	t.Helper()
	absolute := make([]string, len(files))
	for i, f := range files {
		absolute[i] = filepath.Join(root, f)
	}
	options, err := cli.NewProjectOptions(absolute, cli.WithWorkingDirectory(root), cli.WithEnv(env))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(t.Context())
}

// paths wants what a service takes from this repository to be where its file says.
func paths(t *testing.T, root string, service types.ServiceConfig) {
	t.Helper()
	if b := service.Build; b != nil {
		if b.Context != root {
			t.Errorf("%s is built from %s, want %s", service.Name, b.Context, root)
		}
		if _, err := os.Stat(filepath.Join(b.Context, b.Dockerfile)); err != nil {
			t.Error(err)
		}
	}
	for _, v := range service.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			t.Errorf("%s: %v", service.Name, err)
		}
	}
}
