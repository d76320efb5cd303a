package web

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// Anonymous is the actor of what nobody has proven to have done.
const Anonymous = "anonymous"

// ByUser names the person who did something, as manage does.
func ByUser(id uuid.UUID) string { return "user:" + id.String() }

// ByClient names the client that did something.
func ByClient(clientID string) string { return "client:" + clientID }

// Visitor is who asks for something.
func (p *Pages) Visitor(c *gin.Context) visitor.Visitor {
	return visitor.Visitor{
		Address: c.ClientIP(), Agent: userAgent(c.Request), RequestID: RequestID(c), Language: p.texts(c).Tag(),
	}
}

// Event is an audit row of a request, to be appended in the transaction of what it tells of.
func Event(c *gin.Context, actor, action, target string, details map[string]any) *storage.AuditEvent {
	address := c.ClientIP()
	return &storage.AuditEvent{
		Actor: actor, Action: action, Target: target, IPAddress: &address, RequestID: RequestID(c), Details: details,
	}
}
