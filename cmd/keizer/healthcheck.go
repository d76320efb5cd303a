package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/config"
)

const healthTimeout = 2 * time.Second

// healthcheck is `keizer healthcheck`, for containers that hold nothing else to ask with.
func (p *program) healthcheck() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the running server whether it is ready", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, own := "", false
			if !cmd.Flags().Changed("url") {
				cfg, err := p.load(cmd)
				if err != nil {
					return err
				}
				if address, host, err = readyAddress(cfg); err != nil {
					return failed(err)
				}
				own = true
			} else if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return usage("--url: must be an http or https address")
			}
			if err := askReady(cmd.Context(), address, host, own); err != nil {
				return failed(fmt.Errorf("not ready: %w", err))
			}
			return p.show(map[string]any{"ready": true, "url": address}, field{"ready", address})
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "address to ask (default: /readyz of the configured listener)")
	configFlags(cmd.Flags(), "listen", "issuer", "tls-cert-file", "tls-key-file")
	return cmd
}

// readyAddress is where the configured listener is asked from this machine, and by which name: the server answers to the
// host of its issuer only.
func readyAddress(cfg *config.Config) (address, host string, err error) {
	listenHost, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", "", fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(listenHost); listenHost == "" || ip != nil && ip.IsUnspecified() {
		listenHost = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			listenHost = "::1"
		}
	}
	base, err := url.Parse(cfg.Base())
	if err != nil {
		return "", "", fmt.Errorf("issuer: %w", err)
	}
	scheme := "http://"
	if cfg.ServesTLS() {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(listenHost, port) + "/readyz", base.Host, nil
}

// askReady asks an address whether it is ready. Of this machine's own listener the certificate is not looked at: it is the issuer's, not
// that of an address, no secret is told, and who else serves there has taken the listener's place.
func askReady(ctx context.Context, address, host string, own bool) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	if host != "" {
		request.Host = host
	}
	client := &http.Client{
		Transport: &http.Transport{ // and no proxy of the environment
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: own}, //nolint:gosec // see above
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return fmt.Errorf("%s: %w", address, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}
