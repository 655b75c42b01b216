package metal

// limits say when to commit and which shapes of kernels to take.
type limits struct {
	ops int // commands of a batch
}

// limits follow MLX's in kind: smaller batches on smaller chips, which finish later.
func (b *backend) limits() limits {
	switch b.info.Tier {
	case 's', 'd':
		return limits{ops: 50}
	case 'p':
		return limits{ops: 20}
	}
	return limits{ops: 40}
}
