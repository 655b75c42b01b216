package cpu

import (
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// bindFast is bind for mx.fast.
func bindFast(p tensor.Primitive, in, out []View) (task, error) {
	switch p := p.(type) {
	// fast.go, norm.go
	case fast.RMSNorm:
		return rmsNormTask(p, in, out), nil
	case fast.LayerNorm:
		return layerNormTask(p, in, out), nil
	case fast.NormVJP:
		return normVJPTask(p, in, out), nil
	case fast.RoPE:
		return ropeTask(p, in, out), nil
	case fast.CacheWrite:
		return cacheWriteTask(p, in, out), nil
	case fast.CacheRead:
		return cacheReadTask(p, in, out), nil
	case fast.RingMask:
		return ringMaskTask(p, in, out), nil
	case fast.Attention:
		return attentionTask(p, in, out)
	case fast.AttentionVJP:
		return attentionVJPTask(p, in, out), nil
	case fast.Unpack:
		s := quant.Scheme{Mode: quant.Affine, Bits: p.Bits, GroupSize: p.Group}
		return dequantizeTask(quant.Dequantize{Scheme: s, To: out[0].DType}, in, out)
	case fast.Custom:
		return task{}, fast.ErrNoMetal
	}
	return bindLinalg(p, in, out)
}
