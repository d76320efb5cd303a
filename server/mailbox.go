package server

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Where the mailbox of development stands.
const (
	mailboxPath = "/dev/mailbox"
	paramLetter = "letter"
)

// mostLetters is how many letters the mailbox shows.
const mostLetters = 100

// mailbox serves GET /dev/mailbox: what was written to anybody, of every organization.
func (s *Server) mailbox(c *gin.Context) error {
	ctx := c.Request.Context()
	found, err := s.house.DB.ListMail(ctx, storage.MailAll, storage.Mail{}, mostLetters+1)
	if err != nil {
		return err
	}
	page := web.MailboxPage{Here: mailboxPath, More: len(found) > mostLetters}
	for _, m := range found[:min(len(found), mostLetters)] {
		letter, err := s.mailboxLetter(c, &m)
		if err != nil {
			return err
		}
		page.Letters = append(page.Letters, letter)
	}
	return s.pages.Render(c, http.StatusOK, "mailbox", page)
}

func (s *Server) mailboxLetter(c *gin.Context, m *storage.Mail) (web.MailboxLetter, error) {
	org, err := s.house.DB.OrganizationByID(c.Request.Context(), m.OrgID)
	if err != nil {
		return web.MailboxLetter{}, err
	}
	letter := web.MailboxLetter{
		Address: mailboxPath + "/" + m.ID.String(), Organization: org.Slug, Written: web.Moment{At: m.CreatedAt}, Failed: m.LastError,
		Status: "mailbox.waiting",
	}
	if m.Message != nil {
		letter.To, letter.Subject = m.Message.To, m.Message.Subject
	}
	switch {
	case m.DeliveredAt != nil:
		letter.Status = "mailbox.delivered"
	case m.AbandonedAt != nil:
		letter.Status = "mailbox.abandoned"
	}
	return letter, nil
}

// letterOf is the letter that the address names and that can still be read.
func (s *Server) letterOf(c *gin.Context) (*storage.Mail, error) {
	id, err := storage.ParseID(c.Param(paramLetter))
	if err != nil {
		return nil, s.notFound(c)
	}
	m, err := s.house.DB.MailByID(c.Request.Context(), id)
	if errors.Is(err, storage.ErrNotFound) || err == nil && m.Message == nil {
		return nil, s.notFound(c)
	}
	return m, err
}

// letter serves GET /dev/mailbox/{letter}.
func (s *Server) letter(c *gin.Context) error {
	m, err := s.letterOf(c)
	if err != nil {
		return err
	}
	listed, err := s.mailboxLetter(c, m)
	if err != nil {
		return err
	}
	return s.pages.Render(c, http.StatusOK, "mailbox_letter", web.MailboxLetterPage{
		MailboxLetter: listed, Mailbox: mailboxPath, FromName: m.Message.FromName, ReplyTo: m.Message.ReplyTo,
		Link: m.Message.Link, Code: m.Message.Code, Text: m.Message.Text, HTML: listed.Address + "/html",
	})
}

// letterHTML serves GET /dev/mailbox/{letter}/html: the letter itself, which can do nothing.
func (s *Server) letterHTML(c *gin.Context) error {
	m, err := s.letterOf(c)
	if err != nil {
		return err
	}
	s.pages.WriteLetter(c, m.Message.HTML)
	return nil
}
