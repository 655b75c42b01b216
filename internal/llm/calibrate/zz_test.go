package calibrate

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/ruler"
	"github.com/mlxgo/mlx/internal/quant"
)

func TestZZ(t *testing.T) {
	dir := "/work/shared/models/story-10m"
	env := func(k string, d int) int {
		if v, err := strconv.Atoi(os.Getenv(k)); err == nil {
			return v
		}
		return d
	}
	src, set, err := llm.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	tok, _ := llm.LoadTokenizer(dir)
	sep := "<|endoftext|>"
	train, err := ruler.ReadText("/work/shared/data/tinystories/tinystories_train.txt", sep)
	if err != nil {
		t.Fatal(err)
	}
	valid, _ := ruler.ReadText("/work/shared/data/tinystories/tinystories_valid.txt", sep)
	rows, _ := ruler.Cut(tok, train, ruler.RowsOptions{Length: 512, Samples: env("N", 32), Seed: 123})
	held, _ := ruler.Cut(tok, valid, ruler.RowsOptions{Length: 512, Samples: env("H", 32), Seed: 123})
	s := quant.Scheme{Mode: quant.Affine, Bits: env("BITS", 2), GroupSize: env("GROUP", 64)}
	e := s
	e.Bits = env("EBITS", s.Bits)
	r, err := Run(context.Background(), src, t.TempDir()+"/out", Options{Convert: convert.Options{New: models.New, Model: dir, Dir: dir}, Method: os.Getenv("METHOD"), Scheme: s, Embed: e, Rows: rows, HeldOut: held,
		Line: func(x string) { t.Log(x) }, Note: func(x string) { t.Log(x) },
		High: quant.Scheme{Mode: quant.Affine, Bits: env("HBITS", 3), GroupSize: env("HGROUP", 64)}, Target: float64(env("TARGET", 350)) / 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("orig %.3f plain %.3f method %.3f bpw %.3f seconds %.1f", r.Original.Value, r.Plain.Value, r.Method.Value, r.BitsPerWeight, r.Seconds)
	_ = time.Now
}
