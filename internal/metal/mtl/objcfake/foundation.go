//go:build linux

package objcfake

import "fmt"

// An nsError is the value of an NSError.
type nsError struct {
	domain, message string
	code            int64
}

func (r *Runtime) newString(s string) *instance { return r.create("NSString", s) }

func (r *Runtime) newError(domain string, code int64, message string) *instance {
	return r.create("NSError", nsError{domain, message, code})
}

// text is what a string holds, "" of nil.
func text(o *instance) string {
	if o == nil {
		return ""
	}
	return o.value.(string)
}

func defineFoundation(r *Runtime) {
	r.define("NSString", map[string]method{
		"length": {"Q", func(c *call) any { return uint64(len(text(c.self))) }},
	}, nil)
	r.define("NSURL", map[string]method{
		"path": {"@", func(c *call) any { return made{c.r.newString(text(c.self))} }},
	}, map[string]method{
		"fileURLWithPath:": {"@@", func(c *call) any { return made{c.r.create("NSURL", c.text(0))} }},
	})
	r.define("NSArray", map[string]method{
		"count": {"Q", func(c *call) any { return uint64(len(c.self.value.([]*instance))) }},
		"firstObject": {"@", func(c *call) any {
			if list := c.self.value.([]*instance); len(list) > 0 {
				return list[0]
			}
			return nil
		}},
	}, nil).dealloc = func(r *Runtime, o *instance) {
		for _, e := range o.value.([]*instance) {
			r.release(e, "an array's dealloc")
		}
	}
	failure := func(c *call) nsError { return c.self.value.(nsError) }
	r.define("NSError", map[string]method{
		"code":   {"q", func(c *call) any { return failure(c).code }},
		"domain": {"@", func(c *call) any { return made{c.r.newString(failure(c).domain)} }},
		"localizedDescription": {"@", func(c *call) any {
			return made{c.r.newString(failure(c).message)}
		}},
	}, nil)
	r.define("NSProcessInfo", map[string]method{
		"physicalMemory": {"Q", func(c *call) any { return c.r.config.Memory }},
		"operatingSystemVersionString": {"@", func(c *call) any {
			return made{c.r.newString(fmt.Sprintf("Version %s (Build 24B83)", c.r.config.System))}
		}},
	}, map[string]method{
		"processInfo": {"@", func(c *call) any { return c.r.only("NSProcessInfo") }},
	})
}

// only is the one object of a class that the system keeps.
func (r *Runtime) only(className string) *instance {
	c := r.classes[className].value.(*class)
	for _, o := range r.live {
		if o.class == c {
			return o
		}
	}
	o := r.create(className, nil)
	o.immortal = true
	return o
}
