package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/certificate"
	"github.com/keizer-auth/keizer/storage"
)

// testModeBanner is what the terminal shows in test mode, whatever the log goes to.
const testModeBanner = `
  ************************************************************************
  TEST MODE (test_mode, KEIZER_TEST_MODE): this installation is for a
  suite of tests. Servers on this machine and in private networks may be
  asked by whoever registers an application. Keep people's data away.
  ************************************************************************
`

// greet says what was started and where to go next. While there is no operator it makes a setup link: shown at the terminal
// in development, written to the log in production.
func (s *Server) greet(ctx context.Context, stdout io.Writer) error {
	cfg, base := s.house.Cfg, s.house.Cfg.Base()
	if cfg.TestMode {
		s.warnOfTestMode(ctx)
		if _, err := io.WriteString(stdout, testModeBanner); err != nil {
			return err
		}
	}
	s.warnOfCertificate(ctx)
	operator, err := s.house.DB.OwnerExists(ctx)
	if err != nil {
		return fmt.Errorf("look for an operator: %w", err)
	}
	link := ""
	if !operator {
		link, err = s.house.Operators.FurtherSetupLink(ctx, base)
		if err != nil && !errors.Is(err, storage.ErrConflict) { // somebody has become operator this moment
			return fmt.Errorf("make a setup link: %w", err)
		}
	}
	if !cfg.Development() {
		s.house.Log.Info("serving", "mode", "production", "base", base, "listen", cfg.Listen,
			"tls", s.certificate != nil, "database", databaseName(s.house), "migrations_applied", s.house.Applied)
		if s.delivery == nil {
			s.house.Log.Warn("no mail server is configured: mail waits in the database until mail.host is set")
		}
		if link != "" {
			s.house.Log.Info("there is no operator yet: open the setup link, which works once within 24 hours", "setup_link", link)
		}
		return nil
	}

	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-12s %s\n", name, value) }
	b.WriteString("\nKeizer\n\n")
	line("mode", "development (no issuer is configured)")
	line("database", fmt.Sprintf("%s, %d migrations applied", databaseName(s.house), s.house.Applied))
	line("issuer", base)
	line("discovery", base+"/.well-known/openid-configuration")
	if link != "" {
		line("setup", link)
		line("", "(makes the first operator; valid for 24 hours, works once)")
	}
	line("playground", base+"/playground")
	line("mailbox", base+mailboxPath)
	if cfg.Mail.Host != "" {
		line("", "(mail is sent by "+cfg.Mail.Host+" as well)")
	}
	b.WriteString("\n")
	_, err = io.WriteString(stdout, b.String())
	return err
}

func (s *Server) warnOfTestMode(ctx context.Context) {
	s.house.Log.WarnContext(ctx, "test mode: servers on this machine and in private networks may be asked; this installation is not for people")
}

// warnOfCertificate says in the log what is the matter with the certificate that is served with, if anything is.
func (s *Server) warnOfCertificate(ctx context.Context) {
	if s.certificate == nil {
		return
	}
	leaf := s.certificate.Leaf()
	if certificate.Due(leaf, time.Now()) {
		s.house.Log.WarnContext(ctx, "the certificate expires soon, or has expired; put a new one in its place", "expires", leaf.NotAfter)
	}
	if base := (url.URL{Host: s.host}); leaf.VerifyHostname(base.Hostname()) != nil {
		s.house.Log.WarnContext(ctx, "the certificate is not for the host of the issuer: browsers and applications will refuse it", "host", s.host)
	}
}

// databaseName shows where the data is, without what opens it.
func databaseName(h *House) string {
	if h.DB.Dialect() == "sqlite" {
		return "SQLite " + h.Cfg.DatabaseName()
	}
	return "PostgreSQL " + h.Cfg.DatabaseName()
}
