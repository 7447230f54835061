package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
)

// stubborn is a command whose death is proved at the third time.
type stubborn struct{ asked int }

func (s *stubborn) Kill(context.Context) (work.Death, error) {
	s.asked++
	switch s.asked {
	case 1:
		return work.Death{}, errors.New("no answer")
	case 2:
		return work.Death{Survivors: 1}, nil
	}
	return work.Death{Proved: true}, nil
}

func TestS35_NobodyGoesOnWhileACommandInTheTreeMayBeAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, began := provisionPort{pluginsPort: pluginsPort{log: hclog.NewNullLogger()}}, &stubborn{}, time.Now()
		p.bury(t.Context(), provision.Command{Name: "deps"}, s)
		if s.asked != 3 || time.Since(began) != 2*killAgain {
			t.Errorf("asked %d times in %v", s.asked, time.Since(began))
		}
	})
}
