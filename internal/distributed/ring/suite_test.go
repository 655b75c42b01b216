package ring

import (
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/grouptest"
)

func TestGroup(t *testing.T) {
	if raceEnabled {
		t.Skip("the suite takes minutes with the race detector; the other tests run")
	}
	grouptest.Run(t, func(t testing.TB, n int) []distributed.Group { return join(t, job(t, n, 2)) })
}
