package server

import (
	"context"

	"github.com/gin-gonic/gin"
)

// Routes are those of a server over a house, as its router has them: nobody can forget to say that there is a new one.
func Routes(house *House) (gin.RoutesInfo, error) {
	s, err := New(house)
	if err != nil {
		return nil, err
	}
	engine, _ := s.routes().(*gin.Engine)
	return engine.Routes(), nil
}

// TidyClients does what a job does.
func TidyClients(ctx context.Context, house *House) error {
	s, err := New(house)
	if err != nil {
		return err
	}
	return s.tidyClients(ctx)
}
