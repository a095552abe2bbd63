package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
)

// gcPercent is lower than Go's own, so that the process stays below 300 MiB under 128 webhooks of 500 events at once, for about a twentieth more of
// the cores. Whoever sets GOGC decides.
const gcPercent = 60

func newServeCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Take webhooks and store their events",
		Long: `Take webhooks and store their events in NATS JetStream until stopped.

Without any setting it runs a NATS server of its own, keeps its streams under ./data, and prints the URL to give to
Mews. Each setting is a flag, an environment variable or a key of the YAML file given with --config; a flag wins over the environment,
the environment over the file. Secrets are better kept in the environment or in files: others can see flags.

Tokens and certificate files are read again when they change, and at once on SIGHUP. SIGTERM and SIGINT stop in order: webhooks
that were accepted are stored and answered first. A second signal ends at once.`,
		Example: `  mewsbridge serve
  NATS_URL=nats://n1:4222,nats://n2:4222 NATS_CREDS=bridge.creds mewsbridge serve --replicas 3
  mewsbridge serve --config mewsbridge.yaml`,
		Args: noArgs,
	}
	load := settingFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		return serve(cmd.Context(), env, cfg)
	}
	return cmd
}

// settingFlags gives cmd a flag for each setting, and returns what makes a Config of them, the environment and the file.
func settingFlags(cmd *cobra.Command, env *environment) (load func() (*Config, error)) {
	file := cmd.Flags().String("config", "", "YAML file with settings")
	for _, s := range settings() {
		if help := s.help + " [" + s.env + "]"; s.boolean() {
			cmd.Flags().Bool(s.flag(), s.initial == "true", help) // the flag alone says true
		} else {
			cmd.Flags().String(s.flag(), s.initial, help)
		}
	}
	cmd.Flags().SortFlags = false
	return func() (*Config, error) {
		cfg, err := resolve(sources{flags: givenFlags(cmd.Flags()), getenv: env.Getenv, file: readConfigFile(*file)})
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("the configuration is not valid:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  ")))
		}
		return cfg, nil
	}
}

// givenFlags returns the flags that were set.
func givenFlags(flags *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
	return given
}

// serve runs a bridge until ctx ends or a listener fails, and then stops it.
func serve(ctx context.Context, env *environment, cfg *Config) error {
	if env.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	level := zap.NewAtomicLevelAt(cfg.LogLevel)
	log := newLog(env.Stderr, level)
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	hangups, stopHangups := env.hangups()
	defer stopHangups()
	a, err := newApp(cfg, log, level, env.Getenv)
	if err != nil {
		return err
	}
	err = a.start(ctx, hangups)
	if err == nil {
		a.greet(env)
		systemd := notifyReady(log, a.alive)
		err = a.wait(ctx)
		systemd.stopping()
	}
	log.Info("stopping")
	stopCtx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := errors.Join(err, a.stop(stopCtx)); err != nil {
		return withCode(exitInternal, err)
	}
	log.Info("stopped")
	return nil
}

// alive asks the admin listener, as any other watcher would.
func (a *app) alive(ctx context.Context) error {
	address, err := localAddress(a.admin.socket.Addr().String())
	if err != nil {
		return err
	}
	_, err = probe(ctx, address, "/livez", "")
	return err
}

// wait returns nil when ctx ends, and an error when a listener does.
func (a *app) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// greet tells the person who started the bridge where everything is. The URL with the token is printed only when the token was
// made here: whoever configured one knows it.
func (a *app) greet(env *environment) {
	nats := strings.Join(redacted(a.cfg.NATSURL), ", ")
	if a.nats != nil {
		nats = a.nats.ClientURL()
	}
	var paths []string
	for _, e := range a.cfg.Endpoints {
		paths = append(paths, e.Path)
	}
	a.greetSealing()
	a.log.Info("taking webhooks", zap.Stringer("address", a.public.socket.Addr()), zap.String("path", strings.Join(paths, ", ")),
		zap.Stringer("admin", a.admin.socket.Addr()), zap.String("nats", nats), zap.Bool("embedded", a.nats != nil))
	if a.ownToken == "" {
		return
	}
	fmt.Fprintf(env.Stderr, `
  Webhook URL   %s
                Give it to Mews support with your public https host in place of %s.
  NATS          %s (streams in %s)
  Health        http://%s/readyz

`, a.webhookURL(string(a.ownToken)), hostFor(a.public.socket.Addr()), nats, a.cfg.DataDir, hostFor(a.admin.socket.Addr()))
}

func (a *app) webhookURL(token string) string {
	scheme := "http://"
	if a.cfg.servesTLS() {
		scheme = "https://"
	}
	return scheme + hostFor(a.public.socket.Addr()) + a.cfg.Endpoints[0].Path + "?Token=" + url.QueryEscape(token)
}

// hostFor returns a host:port that reaches address from this machine.
func hostFor(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return address.String()
	}
	if tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return tcp.String()
}

// redacted returns the URLs without passwords and tokens.
func redacted(urls []string) []string {
	var shown []string
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil {
			shown = append(shown, u.Scheme+"://"+u.Host)
		}
	}
	return shown
}
