package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/manage"
)

const (
	paramNonce = "nonce"
	maxNonce   = 64
)

// hostProof serves GET /.well-known/keizer-host/{nonce}: that this installation, and no other, is reached under the host that was asked
// for. It is answered under hosts that somebody claims, whichever organization that is.
func (s *Server) hostProof(c *gin.Context) {
	host, ok := hostLike(c.Request.Host)
	nonce := c.Param(paramNonce)
	if !ok || len(nonce) > maxNonce {
		s.refuse(c, http.StatusMisdirectedRequest, "This server does not answer for that host name.")
		return
	}
	claimed, err := s.house.DB.HostClaimed(c.Request.Context(), host)
	switch {
	case err != nil:
		c.Header("Retry-After", headerRetry[0])
		s.refuse(c, http.StatusServiceUnavailable, "The server cannot answer at the moment.")
	case !claimed:
		s.refuse(c, http.StatusMisdirectedRequest, "This server does not answer for that host name.")
	default:
		plain(c.Writer, http.StatusOK, manage.AnswerHostProof(s.house.Keyring, host, nonce))
	}
}
