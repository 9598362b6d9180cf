// SPDX-License-Identifier: AGPL-3.0-or-later

// Command z4jload speaks the agents' protocol to a running brain: it fills a project with the work of a made-up web shop,
// can keep it going, and measures how many events the brain takes in, how many agents it holds and how fast it answers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen/demo"
	"github.com/z4jdev/z4j/tools/loadgen/shop"
)

const usage = `z4jload fills a project with the work of a made-up web shop, can keep it going, and measures ingest, idle agents and reads.

  z4jload seed --url http://127.0.0.1:7700 --email ada@example.com --password ... --tasks 100000
  z4jload seed --url ... --env-file agent.env --tasks 5000 --live --rate 5
  z4jload live --url ... --token ... --secret ... --rate 20
  z4jload ingest --url ... --email ... --password ... --connections 32 --for 30s
  z4jload ingest --url ... --env-file agent.env --rate 5000 --events-per-frame 100
  z4jload idle --url ... --email ... --password ... --connections 10000 --for 10m
  z4jload read --url ... --email ... --password ... --clients 8 --for 1m

seed tells the past: --tasks tasks over --span until now, with about two dozen task names, eight
queues, six workers on three hosts, retries, failures with tracebacks, chains and groups, a backlog
in one queue (its worker is alive but idle) and an hour of trouble in billing.charge_card. With --live
it goes on afterwards. live only goes on. While it lives, heartbeats keep agents and workers online
and commands from the dashboard are answered the way a Celery agent answers; nothing really runs.

ingest sends events as fast as the brain acknowledges them (--rate 0, the default), or at a fixed rate
a second, and prints the rate reached and how long acknowledgements took; signed in with --password also
how long until a browser is told. The events stay in the project: use one of its own.

idle keeps --connections agents without work connected and tells every ten seconds how they fare: look at the
brain's memory meanwhile, restart it, see them come back. Ten thousand need as many open files (ulimit -n).

read asks for what the dashboard's pages ask for, with --clients at once, and prints how long the answers took.

Whom to connect as, one of:
  --email, --password   of an administrator: agents are created, one for each host or 50 connections
  --setup               the setup link of a fresh brain: creates the administrator first
  --env-file            the wizard's lines (Z4J_TOKEN, Z4J_HMAC_SECRET, Z4J_BRAIN_URL); may be repeated
  --token, --secret     of an agent

Flags:
`

type flags struct {
	url, token, secret, email, password, project, setup string
	envFiles                                            []string
	tasks                                               int
	span                                                time.Duration
	live                                                bool
	rate                                                float64
	seed                                                uint64
	connections, perFrame, window, clients              int
	length                                              time.Duration
	// session is set when agents were created by an administrator's session.
	session *api
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "z4jload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flags{}
	set := flag.NewFlagSet("z4jload", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&f.url, "url", "", "the brain's `address` (default: that of --setup or of the env file)")
	set.StringVar(&f.token, "token", "", "an agent's token")
	set.StringVar(&f.secret, "secret", "", "an agent's HMAC secret")
	set.Func("env-file", "`file` with an agent's environment; may be repeated", func(name string) error {
		f.envFiles = append(f.envFiles, name)
		return nil
	})
	set.StringVar(&f.email, "email", "ada@example.com", "the administrator's `address`")
	set.StringVar(&f.password, "password", "", "the administrator's password")
	set.StringVar(&f.setup, "setup", "", "the one-time setup `link` of a fresh brain")
	set.StringVar(&f.project, "project", "default", "the project's `slug`")
	set.IntVar(&f.tasks, "tasks", 10_000, "how many tasks of the past to tell")
	set.DurationVar(&f.span, "span", 24*time.Hour, "how far back they go")
	set.BoolVar(&f.live, "live", false, "go on afterwards")
	set.Float64Var(&f.rate, "rate", 0, "tasks a second while live (5 unless given), or events a second of ingest (full speed unless given)")
	set.IntVar(&f.connections, "connections", 4, "ingest, idle: how many agents' connections")
	set.IntVar(&f.clients, "clients", 8, "read: how many ask at once")
	set.IntVar(&f.perFrame, "events-per-frame", 1, "ingest: events a frame; published agents send 1")
	set.IntVar(&f.window, "window", 0, "ingest: `frames` a connection may have on the way (default: as published agents, 256 of one event)")
	set.DurationVar(&f.length, "for", 15*time.Second, "ingest, idle, read: how long")
	set.Uint64Var(&f.seed, "seed", 0, "the same `number` makes the same tasks; 0 makes new ones")
	set.Usage = func() { fmt.Fprint(out, usage); set.PrintDefaults() }
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	if err := set.Parse(args); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	measure, measures := map[string]func(context.Context, io.Writer) error{"ingest": f.ingest, "idle": f.idle, "read": f.read}[verb]
	if set.NArg() > 0 || (verb != "seed" && verb != "live" && !measures) {
		set.Usage()
		return fmt.Errorf("say `z4jload` seed, live, ingest, idle or read; %q is none of them", strings.TrimSpace(verb+" "+strings.Join(set.Args(), " ")))
	}
	if measures {
		return measure(ctx, out)
	}
	if f.rate == 0 {
		f.rate = 5
	}
	if verb == "live" {
		f.tasks, f.live = 0, true
	}
	if f.seed == 0 {
		f.seed = rand.Uint64() //nolint:gosec // which made-up tasks come is no secret
	}
	agents, err := f.agents(ctx, shop.Hosts())
	if err != nil {
		return err
	}
	err = demo.Run(ctx, demo.Options{
		URL: strings.TrimRight(f.url, "/"), Agents: agents, Tasks: f.tasks, Span: f.span, Live: f.live, Rate: f.rate, Seed: f.seed,
		Log: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) },
	})
	if err != nil {
		return fmt.Errorf("feed %s: %w", f.url, err)
	}
	return nil
}

// agents finds the agents to connect as, or makes those of the given names, and finds the brain's address if it was not given.
func (f *flags) agents(ctx context.Context, names []string) ([]demo.Credentials, error) {
	switch {
	case f.token != "" || f.secret != "":
		if f.token == "" || f.secret == "" || f.url == "" {
			return nil, errors.New("--token needs --secret and --url")
		}
		return []demo.Credentials{{Token: f.token, HMACSecret: f.secret}}, nil
	case len(f.envFiles) > 0:
		return f.fromFiles()
	case f.password != "":
		return f.mint(ctx, names)
	}
	return nil, errors.New("whom to connect as? give --email and --password, --env-file, or --token and --secret (see --help)")
}

func (f *flags) fromFiles() ([]demo.Credentials, error) {
	var agents []demo.Credentials
	for _, name := range f.envFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the agent's environment: %w", err)
		}
		env := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
			if ok {
				env[key] = strings.Trim(value, `"'`)
			}
		}
		cred := demo.Credentials{Token: env["Z4J_TOKEN"], HMACSecret: env["Z4J_HMAC_SECRET"]}
		if cred.Token == "" || cred.HMACSecret == "" {
			return nil, fmt.Errorf("%s has no Z4J_TOKEN or no Z4J_HMAC_SECRET", name)
		}
		if f.url == "" {
			f.url = env["Z4J_BRAIN_URL"]
		}
		agents = append(agents, cred)
	}
	if f.url == "" {
		return nil, errors.New("give --url; the environment has no Z4J_BRAIN_URL")
	}
	return agents, nil
}

// mint creates an agent for each name.
func (f *flags) mint(ctx context.Context, names []string) ([]demo.Credentials, error) {
	token := ""
	if f.setup != "" {
		base, rest, ok := strings.Cut(f.setup, "/setup#token=")
		if !ok {
			return nil, fmt.Errorf("%q is not a setup link; the brain prints one when it has no administrator", f.setup)
		}
		token = rest
		if f.url == "" {
			f.url = base
		}
	}
	if f.url == "" {
		return nil, errors.New("give the brain's address with --url")
	}
	api, err := newAPI(f.url)
	if err != nil {
		return nil, err
	}
	if token != "" {
		err = api.post(ctx, "/setup/complete", map[string]any{"token": token, "email": f.email, "display_name": "Ada Admin", "password": f.password}, nil)
	} else {
		err = api.post(ctx, "/auth/login", map[string]any{"email": f.email, "password": f.password}, nil)
	}
	if err != nil {
		return nil, err
	}
	f.session = api
	var agents []demo.Credentials
	for _, wanted := range names {
		var minted struct {
			Token      string `json:"token"`
			HMACSecret string `json:"hmac_secret"`
		}
		// A project that was filled before has agents of these names, whose secrets nobody knows any more.
		var taken *statusError
		name := wanted
		for n := 2; ; n++ {
			err := api.post(ctx, "/projects/"+f.project+"/agents", map[string]any{"name": name}, &minted)
			if err == nil {
				break
			}
			if !errors.As(err, &taken) || taken.status != http.StatusConflict {
				return nil, err
			}
			name = fmt.Sprintf("%s-%d", wanted, n)
		}
		agents = append(agents, demo.Credentials{Token: minted.Token, HMACSecret: minted.HMACSecret})
	}
	return agents, nil
}
