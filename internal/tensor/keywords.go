package tensor

import "github.com/mlxgo/mlx/internal/opt"

// ForScan makes a stream an argument of scans; the other families likewise.
func (s Stream) ForScan(o *opt.Set)     { o.SetStream(s) }
func (s Stream) ForPad(o *opt.Set)      { o.SetStream(s) }
func (s Stream) ForAddMM(o *opt.Set)    { o.SetStream(s) }
func (s Stream) ForGatherMM(o *opt.Set) { o.SetStream(s) }

// ForScan makes a device an argument of scans; the other families likewise.
func (d Device) ForScan(o *opt.Set)     { o.SetStream(DefaultStream(d)) }
func (d Device) ForPad(o *opt.Set)      { o.SetStream(DefaultStream(d)) }
func (d Device) ForAddMM(o *opt.Set)    { o.SetStream(DefaultStream(d)) }
func (d Device) ForGatherMM(o *opt.Set) { o.SetStream(DefaultStream(d)) }

// ForConv makes a stream or device an argument of convolutions.
func (s Stream) ForConv(o *opt.Set) { o.SetStream(s) }
func (d Device) ForConv(o *opt.Set) { o.SetStream(DefaultStream(d)) }

// ForLinalg makes a stream or device an argument of norms.
func (s Stream) ForLinalg(o *opt.Set) { o.SetStream(s) }
func (d Device) ForLinalg(o *opt.Set) { o.SetStream(DefaultStream(d)) }

// ForFFT makes a stream or device an argument of Fourier transforms.
func (s Stream) ForFFT(o *opt.Set) { o.SetStream(s) }
func (d Device) ForFFT(o *opt.Set) { o.SetStream(DefaultStream(d)) }
