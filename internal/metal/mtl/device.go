//go:build (darwin && cgo) || linux

package mtl

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// pageSize is the machine's. Tests, which run elsewhere, have Apple's.
var pageSize = systemPageSize()

// device is a gpu.Device over an MTLDevice.
type device struct {
	reference
	info              gpu.Info
	threadgroupMemory int // bytes at most
	residency         *residency
	capture           capture
}

// Open gives the Mac's GPU. It fails when there is none, when the GPU has memory of its
// own, and before macOS 14, whose Metal is the first with bfloat.
func Open() (gpu.Device, error) {
	var d *device
	var err error
	pooled(func() { d, err = open() })
	if err != nil {
		return nil, err
	}
	return d, nil
}

func open() (*device, error) {
	object := defaultDevice()
	if object.IsNil() {
		return nil, errors.New("this machine has no Metal device")
	}
	d := &device{reference: reference{object: object}}
	d.info = describe(object)
	d.threadgroupMemory = int(call[uint64](object, "maxThreadgroupMemoryLength"))
	switch {
	case !yes(object, "hasUnifiedMemory"):
		release(object)
		return nil, fmt.Errorf("the GPU %s has memory of its own: Metal is supported on Apple silicon", d.info.Name)
	case !responds(object, "architecture"):
		release(object)
		return nil, fmt.Errorf("this is %s: Metal is supported from macOS 14 on", d.info.System)
	}
	var err error
	if d.residency, err = newResidency(d); err != nil {
		release(object)
		return nil, err
	}
	return d, nil
}

// defaultDevice is owned by the caller. Where no one is logged in at the screen there may
// be no default, but a list.
func defaultDevice() objc.Object {
	if d := objc.CreateSystemDefaultDevice(); !d.IsNil() {
		return d
	}
	all := objc.CopyAllDevices()
	defer release(all)
	first := ask(all, "firstObject")
	if !first.IsNil() {
		first.Retain()
	}
	return first
}

func describe(object objc.Object) gpu.Info {
	process := ask(objc.GetClass("NSProcessInfo"), "processInfo")
	info := gpu.Info{
		Name:       call[string](object, "name"),
		System:     systemName(call[string](process, "operatingSystemVersionString")),
		Memory:     int64(call[uint64](process, "physicalMemory")),
		MaxBuffer:  int64(call[uint64](object, "maxBufferLength")),
		WorkingSet: int64(call[uint64](object, "recommendedMaxWorkingSetSize")),
		PageSize:   pageSize,
		MSL:        languageName,
	}
	if responds(object, "architecture") { // from macOS 14 on
		info.Architecture = call[string](ask(object, "architecture"), "name")
		info.Generation, info.Tier = generation(info.Architecture)
	}
	return info
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)*`)

// systemName makes "macOS 15.1" of "Version 15.1 (Build 24B83)", which is in the user's
// language.
func systemName(version string) string {
	return strings.TrimSpace("macOS " + versionNumber.FindString(version))
}

// generation reads names such as applegpu_g15s: generation 15, tier s.
func generation(architecture string) (generation int, tier byte) {
	rest, ok := strings.CutPrefix(architecture, "applegpu_g")
	if !ok || len(rest) < 2 {
		return 0, 0
	}
	n, err := strconv.Atoi(rest[:len(rest)-1])
	if err != nil || n < 0 {
		return 0, 0
	}
	return n, rest[len(rest)-1]
}

// Info tells what the device is.
func (d *device) Info() gpu.Info { return d.info }

// Release gives the device up, after all that was made with it. Programs keep it until
// they end; it is there for tests.
func (d *device) Release() {
	d.residency.release()
	d.reference.Release()
}
