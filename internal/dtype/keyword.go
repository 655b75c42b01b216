package dtype

import "github.com/mlxgo/mlx/internal/opt"

// ForCreate makes a dtype the argument dtype= of what creates arrays; the other
// families likewise.
func (d DType) ForCreate(s *opt.Set) { s.SetDType(uint8(d)) }

// ForQuant makes a dtype the argument dtype= of dequantization.
func (d DType) ForQuant(s *opt.Set) { s.SetDType(uint8(d)) }

// ForRandom makes a dtype the argument dtype= of random arrays.
func (d DType) ForRandom(s *opt.Set) { s.SetDType(uint8(d)) }

// ForScan makes a dtype the argument dtype= of a scan.
func (d DType) ForScan(s *opt.Set) { s.SetDType(uint8(d)) }
