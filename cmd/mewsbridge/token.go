package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func newTokenCommand(env *environment) *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print a new token and the URL to send to Mews support",
		Long: `Print a new token, and the webhook URL that holds it, to send to Mews support.

Nothing is stored. Set the token with MEWSBRIDGE_TOKENS or in the tokens file, beside the one that is in use: Mews takes days to
change a URL, and until then both must be accepted.`,
		Example: `  mewsbridge token --url https://hooks.example.com/webhooks/mews`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			u, err := url.Parse(base)
			if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
				return withCode(exitUsage, fmt.Errorf("--url: give the public URL of the webhook, such as https://hooks.example.com/webhooks/mews"))
			}
			t := string(newToken())
			_, err = fmt.Fprintf(env.Stdout, "token  %s\nurl    %s?Token=%s\n", t, strings.TrimSuffix(base, "?"), t)
			return withCode(exitInternal, err)
		},
	}
	cmd.Flags().StringVar(&base, "url", "https://bridge.example.com/webhooks/mews", "public URL of the webhook, without the token")
	return cmd
}
