//go:build linux

package objcfake

import "os"

// traceDocument is MTLCaptureDestinationGPUTraceDocument.
const traceDocument = 2

// capture is the value of an MTLCaptureDescriptor and of the manager, which keeps the one
// in use.
type capture struct {
	object, url *instance
	destination int64
	running     bool
}

func defineCapture(r *Runtime) {
	of := func(c *call) *capture { return c.self.value.(*capture) }
	r.define("MTLCaptureDescriptor", map[string]method{
		"setCaptureObject:": {"v@", func(c *call) any { of(c).object = c.object(0); return nil }},
		"setDestination:":   {"vq", func(c *call) any { of(c).destination = c.int(0); return nil }},
		"setOutputURL:": {"v@", func(c *call) any {
			c.r.retain(c.object(0))
			of(c).url = c.object(0)
			return nil
		}},
	}, nil)
	r.classes["MTLCaptureDescriptor"].value.(*class).fresh = func() any { return &capture{} }
	r.classes["MTLCaptureDescriptor"].value.(*class).dealloc = func(r *Runtime, o *instance) {
		if url := o.value.(*capture).url; url != nil {
			r.release(url, "a capture descriptor's dealloc")
		}
	}
	r.define("MTLCaptureManager", map[string]method{
		"supportsDestination:":              {"Bq", func(c *call) any { return c.r.config.Capture || c.int(0) != traceDocument }},
		"isCapturing":                       {"B", func(c *call) any { return of(c).running }},
		"startCaptureWithDescriptor:error:": {"B@^", startCapture},
		"stopCapture": {"v", func(c *call) any {
			if !of(c).running {
				c.fault("stopCapture without a capture")
			}
			of(c).running = false
			return nil
		}},
	}, map[string]method{
		"sharedCaptureManager": {"@", func(c *call) any {
			m := c.r.only("MTLCaptureManager")
			if m.value == nil {
				m.value = &capture{}
			}
			return m
		}},
	})
}

func startCapture(c *call) any {
	d := c.object(0).value.(*capture)
	switch {
	case d.object == nil || d.url == nil || d.destination != traceDocument:
		c.fail(1, "MTLCaptureError", 3, "the descriptor is not complete")
		return false
	case c.self.value.(*capture).running:
		c.fail(1, "MTLCaptureError", 2, "Already capturing")
		return false
	}
	if err := os.Mkdir(text(d.url), 0o777); err != nil {
		c.fail(1, "MTLCaptureError", 3, err.Error())
		return false
	}
	c.self.value.(*capture).running = true
	return true
}
