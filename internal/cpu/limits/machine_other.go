//go:build !linux && !darwin

package limits

func cpuModel() string { return "" }

func lastCache() int64 { return 0 }

func memory() int64 { return 0 }

func peakResident() int64 { return 0 }

func pin(int) {}

func mapPages(size int) ([]byte, error) { return make([]byte, size), nil }

func unmapPages([]byte) error { return nil }
