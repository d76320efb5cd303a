package web

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
)

// DeviceLifetime is how long a browser is known as one that somebody has signed in with, since they last did.
const DeviceLifetime = 90 * 24 * time.Hour

// Device returns what this browser is known by from sign-ins before, or nothing. It proves nothing of who sits there: it
// only keeps what strangers try apart from what is tried here.
func (s *Sessions) Device(ctx context.Context, c *gin.Context) string {
	org, _ := tenant.From(ctx)
	token := s.jar.value(c, cookieDevice, org)
	if !secret.Valid(secret.Device, token) {
		return ""
	}
	return token
}

// SetDevice gives the browser what it is known by from now on. It stays when the person signs out.
func (s *Sessions) SetDevice(ctx context.Context, c *gin.Context, token string) {
	org, _ := tenant.From(ctx)
	set(c, s.jar.cookie(cookieDevice, org, token, DeviceLifetime))
}
