package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// probeTimeout is longer than /readyz takes to ask JetStream.
const probeTimeout = 4 * time.Second

func newHealthCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the bridge on this machine whether it is alive",
		Long: `Ask the bridge on this machine, at its admin address, whether it is alive; with --ready whether it could store
a webhook now. Exit code 0 when it is, else 1 with the reason. An image without a shell checks itself so.

A bridge that lost NATS is alive: restarting it would not mend NATS.`,
		Example: `  mewsbridge health
  mewsbridge health --ready --admin-listen 127.0.0.1:8081`,
		Args: noArgs,
	}
	admin, token := settingOf("admin_listen"), settingOf("admin_token")
	file := cmd.Flags().String("config", "", "YAML file with settings, as for serve")
	cmd.Flags().String(admin.flag(), admin.initial, "admin address of the bridge ["+admin.env+"]")
	ready := cmd.Flags().Bool("ready", false, "ask whether it is ready, not only alive")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from := sources{flags: givenFlags(cmd.Flags()), getenv: env.Getenv, file: readConfigFile(*file)}
		if *file != "" { // what is wrong within it is no matter of a bridge that runs
			if _, err := os.Stat(*file); err != nil {
				return withCode(exitConfig, fmt.Errorf("--config: %w", err))
			}
		}
		listen, origin := admin.text(from)
		address, err := localAddress(listen)
		if err != nil {
			return withCode(exitConfig, fmt.Errorf("%s (%s): %w", admin.key, origin, err))
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), probeTimeout)
		defer cancel()
		path := "/livez"
		if *ready {
			path = "/readyz"
		}
		bearer, _ := token.text(from)
		status, err := probe(ctx, address, path, secret(bearer))
		if err != nil {
			return withCode(exitVerdict, err)
		}
		_, err = fmt.Fprintln(env.Stdout, status)
		return withCode(exitInternal, err)
	}
	return cmd
}

// localAddress returns where on this machine a listener with that address is reached.
func localAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", listen)
	}
	if port == "" || port == "0" {
		return "", fmt.Errorf("%q names no port to ask at", listen)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// probe asks path of the admin listener at address and returns the status it answers with 200; else the error says what
// is wrong. The token is for the reason why it is not ready, which only its holder is told. It keeps no connection.
func probe(ctx context.Context, address, path string, token secret) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", address, err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	var answer struct{ Status, Cause string }
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer); err != nil || answer.Status == "" {
		return "", fmt.Errorf("%s%s: not the admin address of mewsbridge", address, path)
	}
	switch {
	case response.StatusCode == http.StatusOK:
		return answer.Status, nil
	case answer.Cause == "":
		return "", fmt.Errorf("%s; why is told to those who have the admin token [%s]", answer.Status, settingOf("admin_token").env)
	default:
		return "", fmt.Errorf("%s: %s", answer.Status, answer.Cause)
	}
}
