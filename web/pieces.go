package web

import (
	"errors"
	"fmt"

	"github.com/gin-gonic/gin"
)

// piece is what a template of the layout is executed with when it takes more than one thing: the frame, as F, and pairs of name
// and value. What is not given is empty.
func piece(f *frame, pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("a piece of a page takes pairs of name and value")
	}
	made := map[string]any{"F": f}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("a piece of a page has a %T for a name", pairs[i])
		}
		made[name] = pairs[i+1]
	}
	return made, nil
}

// person is who is signed in, as far as the request has asked.
func person(c *gin.Context) string {
	known, _ := c.Get(keyCurrent)
	if in, ok := known.(signedIn); ok && in.user != nil {
		return in.user.DisplayName()
	}
	return ""
}
