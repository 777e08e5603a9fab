package pop_test

import (
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/pop"
	"github.com/mantlet-go/mantlet/auth/pop/replaytest"
)

func TestTheStoreInMemoryKeepsTheRules(t *testing.T) {
	replaytest.Run(t, func(*testing.T) pop.ReplayStore { return pop.NewMemory(1<<16, time.Minute) })
}
