package web

import (
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
)

// cookieSignUp is the cookie by which a browser is known that has signed up, until its address is proven.
const cookieSignUp = "signup"

// SignUp is the secret of the sign-up that waits for this browser, or nothing.
func (s *Sessions) SignUp(c *gin.Context) string {
	token := s.jar.value(c, cookieSignUp, orgOf(c))
	if !secret.Valid(secret.SignUp, token) {
		return ""
	}
	return token
}

// KeepSignUp gives the browser the secret of its sign-up.
func (s *Sessions) KeepSignUp(c *gin.Context, token string, life time.Duration) {
	set(c, s.jar.cookie(cookieSignUp, orgOf(c), token, life))
}

// ForgetSignUp takes it away again, when the sign-up is complete.
func (s *Sessions) ForgetSignUp(c *gin.Context) {
	if s.SignUp(c) != "" {
		set(c, s.jar.gone(cookieSignUp, orgOf(c)))
	}
}
