//go:build cgo

package mtl

import (
	"os"
	"path/filepath"
	"testing"
)

// On a Mac the real Metal runs the flow.
func TestFlow(t *testing.T) {
	d, err := Open()
	if err != nil {
		t.Skip(err)
	}
	t.Logf("%+v", d.Info())
	flow(t, d)
	if err := d.SetWiredLimit(1 << 20); err != nil {
		t.Fatal(err)
	}
	flow(t, d)
	if err := d.SetWiredLimit(0); err != nil {
		t.Fatal(err)
	}
}

// TestCapture needs MTL_CAPTURE_ENABLED=1.
func TestCapture(t *testing.T) {
	d, err := Open()
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "a.gputrace")
	if err := d.StartCapture(path); err != nil {
		t.Skip(err)
	}
	flow(t, d)
	if err := d.StopCapture(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}
