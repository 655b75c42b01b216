package optim

// Options of the rules; each type is one keyword.
type (
	// SGDOption is [Momentum], [Dampening], [Nesterov] or [WeightDecay].
	SGDOption interface{ sgd(*options) }
	// AdamOption is [Betas], [Eps], [BiasCorrection] or [WeightDecay].
	AdamOption interface{ adam(*options) }
	// RMSOption is [Alpha], [Rho] or [Eps].
	RMSOption interface{ rms(*options) }
	// MuonOption is [Momentum], [Nesterov], [WeightDecay] or [NSSteps].
	MuonOption interface{ muon(*options) }
)

type (
	// Momentum is momentum=: how much of the last update stays.
	Momentum float64
	// Dampening is dampening= of SGD: how much less of the gradient goes in.
	Dampening float64
	// Nesterov is nesterov=: look ahead by the momentum.
	Nesterov bool
	// WeightDecay is weight_decay=.
	WeightDecay float64
	// Betas is betas=: the decay of the running means.
	Betas [2]float64
	// Eps is eps=: what keeps a divisor from 0.
	Eps float64
	// BiasCorrection is bias_correction= of Adam, false by default as in MLX.
	BiasCorrection bool
	// Alpha is alpha= of RMSProp: the decay of the running mean.
	Alpha float64
	// Rho is rho= of AdaDelta: the decay of the running means.
	Rho float64
	// NSSteps is ns_steps= of Muon: steps of the Newton-Schulz iteration.
	NSSteps int
)

// options collects the keywords of one rule.
type options struct {
	momentum, dampening, decay, eps, alpha float64
	betas                                  [2]float64
	nesterov, correct                      bool
	steps                                  int
}

func (m Momentum) sgd(o *options)        { o.momentum = float64(m) }
func (m Momentum) muon(o *options)       { o.momentum = float64(m) }
func (d Dampening) sgd(o *options)       { o.dampening = float64(d) }
func (n Nesterov) sgd(o *options)        { o.nesterov = bool(n) }
func (n Nesterov) muon(o *options)       { o.nesterov = bool(n) }
func (w WeightDecay) sgd(o *options)     { o.decay = float64(w) }
func (w WeightDecay) adam(o *options)    { o.decay = float64(w) }
func (w WeightDecay) muon(o *options)    { o.decay = float64(w) }
func (b Betas) adam(o *options)          { o.betas = b }
func (e Eps) adam(o *options)            { o.eps = float64(e) }
func (e Eps) rms(o *options)             { o.eps = float64(e) }
func (c BiasCorrection) adam(o *options) { o.correct = bool(c) }
func (a Alpha) rms(o *options)           { o.alpha = float64(a) }
func (r Rho) rms(o *options)             { o.alpha = float64(r) }
func (n NSSteps) muon(o *options)        { o.steps = int(n) }
