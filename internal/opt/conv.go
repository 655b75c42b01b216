package opt

// convOps are the keywords of convolutions.
type convOps struct {
	Stride, Padding, PaddingHigh, Dilation, InputDilation, OutputPadding []int

	Groups int
	Flip   bool
	NoBias bool // of layers
}

// Families of convolutions.
type (
	// Conv is stride=, padding=, dilation=, groups= and so on, and stream=.
	Conv interface{ ForConv(*Set) }
	// ConvLayer is the same for layers, with bias=.
	ConvLayer interface{ ForConvLayer(*Set) }
)
