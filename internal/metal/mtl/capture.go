//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// captureToFile is MTLCaptureDestinationGPUTraceDocument.
const captureToFile = int64(2)

// capture is the recording in progress.
type capture struct {
	mu   sync.Mutex
	path string // "" if there is none
}

func captureManager() objc.Object {
	return ask(objc.GetClass("MTLCaptureManager"), "sharedCaptureManager")
}

// StartCapture records what is committed from now on into a new .gputrace file, which
// Xcode opens. Metal allows it only to programs started with MTL_CAPTURE_ENABLED=1.
func (d *device) StartCapture(path string) error {
	d.capture.mu.Lock()
	defer d.capture.mu.Unlock()
	if d.capture.path != "" {
		return fmt.Errorf("capture %s: a capture to %s is in progress", path, d.capture.path)
	}
	full, err := capturePath(path)
	if err != nil {
		return err
	}
	pooled(func() { err = d.startCapture(full) })
	if err != nil {
		return fmt.Errorf("capture %s: %w", path, err)
	}
	d.capture.path = path
	return nil
}

// capturePath checks what Metal would refuse with less to say.
func capturePath(path string) (string, error) {
	if filepath.Ext(path) != ".gputrace" {
		return "", fmt.Errorf("capture %s: the name must end in .gputrace", path)
	}
	if err := checkText("the name of the capture", path); err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("capture %s: there is such a file; remove it or take another name", path)
	}
	return filepath.Abs(path)
}

func (d *device) startCapture(path string) error {
	manager := captureManager()
	if !yes(manager, "supportsDestination:", captureToFile) {
		return errors.New("it is refused: start the program with MTL_CAPTURE_ENABLED=1 in its environment")
	}
	descriptor := newObject("MTLCaptureDescriptor")
	defer release(descriptor)
	tell(descriptor, "setCaptureObject:", d.object)
	tell(descriptor, "setDestination:", captureToFile)
	tell(descriptor, "setOutputURL:", ask(objc.GetClass("NSURL"), "fileURLWithPath:", path))
	e := new(errorOut)
	if !yes(manager, "startCaptureWithDescriptor:error:", descriptor, e.arg()) {
		return errors.New(e.text("the system gives no reason"))
	}
	return nil
}

// StopCapture ends the capture and writes its file.
func (d *device) StopCapture() error {
	d.capture.mu.Lock()
	defer d.capture.mu.Unlock()
	if d.capture.path == "" {
		return errors.New("no capture is in progress")
	}
	pooled(func() { tell(captureManager(), "stopCapture") })
	d.capture.path = ""
	return nil
}
