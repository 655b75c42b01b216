package metal

// wordsOf is how many bytes at a time things are moved whose sizes, strides and offsets in
// bytes are those: a power of two up to 8.
func wordsOf(bytes ...int) int {
	all := 8
	for _, b := range bytes {
		all |= b
	}
	return all & -all
}

// takeOp picks rows of a table. Indices out of range are taken to the nearest row.
func takeOp(e *encoder, in, out []View) error {
	table, ids, y := &in[0], &in[1], &out[0]
	n := ids.Shape.Size()
	size, ti := y.DType.Size(), elementTypes[ids.DType]
	row, stride := table.Shape[1:].Size()*size, table.Strides[0]*size
	if n == 0 || row == 0 {
		return nil
	}
	word := wordsOf(row, stride, table.Offset, y.Offset)
	k, err := e.kernel("take", "take", []string{bitsType(word), ti})
	if err != nil {
		return err
	}
	grid, group := partsOfRows(row/word, n, 1)
	e.run(k, grid, group, e.in(table), e.in(ids), e.out(y), i32(table.Shape[0]), i32(row/word), i64(stride/word))
	return nil
}

// partsOfRows is a grid of threads for four of the elements of each row, rows, and more.
func partsOfRows(width, rows, more int) (grid, group [3]int) {
	grid = [3]int{(width + moved - 1) / moved, rows, more}
	group[0] = max(1, min(grid[0], 256))
	group[1] = max(1, min(rows, 256/group[0]))
	group[2] = min(more, 256/(group[0]*group[1]))
	return grid, group
}
