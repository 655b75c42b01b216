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

// vectorRows is how many rows of x at most are multiplied one by one with a packed matrix
// of n results and k inputs, four at a time, rather than in tiles. It follows MLX's table
// in kind: the more the device computes for a byte it reads, the fewer.
func (b *backend) vectorRows(n, k int) int {
	small := n <= 2048 && k <= 2048
	switch {
	case b.info.Tier == 'd' && small:
		return 24
	case b.info.Tier == 'd' || small:
		return 12
	}
	return 8
}
