//go:build linux

package objcfake

import (
	"fmt"
	"strings"
	"unsafe"
)

// A Handle is what has an object's address.
type Handle interface{ Ptr() unsafe.Pointer }

// An Object is a reference to an object, or nil. It holds no count of its own.
type Object struct{ ptr unsafe.Pointer }

// A Class is a reference to a class, or nil.
type Class struct{ ptr unsafe.Pointer }

// A Selector is the name of a message.
type Selector struct{ name string }

// Void is the result of methods without one.
type Void struct{}

// Size is MTLSize.
type Size struct{ Width, Height, Depth uint64 }

// Sel gives the selector of a name.
func Sel(name string) Selector { return Selector{name} }

// GetClass gives a class, nil if there is none.
func GetClass(name string) Class {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	return Class{unsafe.Pointer(r.classes[name])}
}

// ObjectAt gives the object of an address.
func ObjectAt(address uint64) Object {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.live[uintptr(address)]
	if o == nil && address != 0 {
		r.fault("%#x is the address of no object", address)
	}
	return Object{unsafe.Pointer(o)}
}

// Ptr is the object's address.
func (o Object) Ptr() unsafe.Pointer { return o.ptr }

// IsNil says whether there is no object.
func (o Object) IsNil() bool { return o.ptr == nil }

// Ptr is the class's address.
func (c Class) Ptr() unsafe.Pointer { return c.ptr }

func instanceOf(h Handle) *instance { return (*instance)(h.Ptr()) }

// Retain adds a reference.
func (o Object) Retain() Object {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pooled("retain")
	r.retain(instanceOf(o))
	return o
}

// Release gives a reference up.
func (o Object) Release() {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pooled("release")
	r.release(instanceOf(o), "release")
}

// Autorelease leaves a reference to the pool.
func (o Object) Autorelease() Object {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alive(instanceOf(o), "autorelease") {
		r.autorelease(instanceOf(o))
	}
	return o
}

// RespondsToSelector says whether the object has a method.
func (o Object) RespondsToSelector(s Selector) bool {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	self := instanceOf(o)
	if !r.alive(self, "respondsToSelector:") {
		return false
	}
	_, ok := self.class.methods[s.name]
	return ok
}

// A call is a message on its way, with arguments as C has them: uint64, int64, bool,
// float64, *instance (nil for nil), unsafe.Pointer and Size.
type call struct {
	r    *Runtime
	self *instance
	args []any
}

func (c *call) object(i int) *instance        { return c.args[i].(*instance) }
func (c *call) uint(i int) uint64             { return c.args[i].(uint64) }
func (c *call) int(i int) int64               { return c.args[i].(int64) }
func (c *call) pointer(i int) unsafe.Pointer  { return c.args[i].(unsafe.Pointer) }
func (c *call) size(i int) Size               { return c.args[i].(Size) }
func (c *call) text(i int) string             { return text(c.object(i)) }
func (c *call) fault(format string, a ...any) { c.r.fault(format, a...) }

// fail stores an error into the NSError** that is argument i.
func (c *call) fail(i int, domain string, code int64, message string) {
	if out := c.pointer(i); out != nil {
		e := c.r.newError(domain, code, message)
		c.r.autorelease(e)
		*(*unsafe.Pointer)(out) = unsafe.Pointer(e)
	}
}

// made is a result that the method made: the caller owns it if the method's name begins
// with new, alloc or copy, and else it is autoreleased.
type made struct{ *instance }

// Call sends a message.
func Call[T any](receiver Handle, selector Selector, params ...any) T {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	var result T
	self := instanceOf(receiver)
	if self == nil {
		r.fault("%s is sent to nil", selector.name)
		return result
	}
	r.pooled(self.class.name + " " + selector.name)
	value, ok := r.send(self, selector.name, params, wanted(&result))
	if !ok {
		return result
	}
	switch p := any(&result).(type) {
	case *Object:
		p.ptr = unsafe.Pointer(value.(*instance))
	case *string:
		*p = text(value.(*instance))
	case *uint64:
		*p = value.(uint64)
	case *int64:
		*p = value.(int64)
	case *float64:
		*p = value.(float64)
	case *unsafe.Pointer:
		*p = value.(unsafe.Pointer)
	}
	return result
}

// wanted is the letter of the result that the caller expects.
func wanted(p any) string {
	switch p.(type) {
	case *Void:
		return "v"
	case *Object:
		return "@"
	case *string:
		return "@s" // an object that must be a string
	case *uint64:
		return "Q"
	case *int64:
		return "q"
	case *float64:
		return "d"
	case *unsafe.Pointer:
		return "^"
	default:
		return fmt.Sprintf("%T", p)[1:]
	}
}

// send checks a message and runs its method.
func (r *Runtime) send(self *instance, selector string, params []any, want string) (any, bool) {
	name := self.class.name + " " + selector
	if !r.alive(self, selector) {
		return nil, false
	}
	m, ok := self.class.methods[selector]
	if !ok {
		m, ok = r.everyObjects(self, selector)
	}
	if !ok {
		r.fault("wrong selector: %s has no %s", self.class.name, selector)
		return nil, false
	}
	returns, takes := m.signature[:1], m.signature[1:]
	if n := strings.Count(selector, ":"); n != len(takes) {
		panic(fmt.Sprintf("objcfake: %s has %d arguments and the signature %q", name, n, m.signature))
	}
	if !r.checkResult(name, returns, want) {
		return nil, false
	}
	args, ok := r.arguments(name, takes, params)
	if !ok {
		return nil, false
	}
	if len(r.messages) == 2*keptMessages {
		r.messages = append([]string(nil), r.messages[keptMessages:]...)
	}
	r.messages = append(r.messages, name+written(args))
	return r.deliver(selector, want, m.do(&call{r: r, self: self, args: args}))
}

// checkResult compares the result of a method with what the caller takes. Integers narrower
// than a word are written as words by libffi: over what lies behind a narrower variable.
func (r *Runtime) checkResult(name, returns, want string) bool {
	switch {
	case want == returns, want == "@s" && returns == "@", want == "Q" && returns == "B":
		return true
	case len(want) > 1 && want != "@s":
		r.fault("the result of %s goes into a Go %s: take a word, an object or a string", name, want)
	default:
		r.fault("wrong type: the result of %s is %s and is taken as %s", name, returns, want)
	}
	return false
}

// arguments converts what Go gives to what the method takes.
func (r *Runtime) arguments(name, takes string, params []any) ([]any, bool) {
	if len(params) != len(takes) {
		r.fault("wrong count: %s takes %d arguments and gets %d", name, len(takes), len(params))
		return nil, false
	}
	args := make([]any, len(params))
	for i, p := range params {
		letter, value := r.argument(p)
		takesNil := (takes[i] == '@' || takes[i] == '^') && p == nil
		if letter != takes[i:i+1] && !takesNil {
			r.fault("wrong type: argument %d of %s is %s and gets %s (%T)", i+1, name, takes[i:i+1], letter, p)
			return nil, false
		}
		switch {
		case takesNil && takes[i] == '@':
			value = (*instance)(nil)
		case takesNil:
			value = unsafe.Pointer(nil)
		}
		if o, ok := value.(*instance); ok && o != nil && !r.alive(o, fmt.Sprintf("argument %d of %s", i+1, name)) {
			return nil, false
		}
		args[i] = value
	}
	return args, true
}

// written gives arguments as they stand in [Runtime.Messages]: objects by address, and
// pointers without, as ^.
func written(args []any) string {
	var b strings.Builder
	for _, a := range args {
		switch a := a.(type) {
		case *instance:
			fmt.Fprintf(&b, " @%d", uintptr(unsafe.Pointer(a)))
		case unsafe.Pointer:
			b.WriteString(" ^")
		default:
			fmt.Fprintf(&b, " %v", a)
		}
	}
	return b.String()
}

// argument is how darwinkit hands a Go value over.
func (r *Runtime) argument(p any) (letter string, value any) {
	switch p := p.(type) {
	case Object:
		return "@", (*instance)(p.ptr)
	case string:
		s := r.newString(p)
		r.autorelease(s)
		return "@", s
	case uint:
		return "Q", uint64(p)
	case uint64:
		return "Q", p
	case int:
		return "q", int64(p)
	case int64:
		return "q", p
	case bool:
		return "B", p
	case float64:
		return "d", p
	case unsafe.Pointer:
		return "^", p
	case uintptr: // what darwinkit passes in the same register
		return "^", *(*unsafe.Pointer)(unsafe.Pointer(&p))
	case Size:
		return "S", p
	default:
		return "?", nil
	}
}

// deliver settles who owns the result.
func (r *Runtime) deliver(selector, want string, result any) (any, bool) {
	switch v := result.(type) {
	case nil:
		if strings.HasPrefix(want, "@") {
			return (*instance)(nil), true
		}
		return nil, want == "v"
	case made:
		if !owning(selector) {
			r.autorelease(v.instance)
		}
		result = v.instance
	case bool: // only the low byte of the register is the method's
		word := uint64(0xc0de00)
		if v {
			word++
		}
		result = word
	}
	if o, ok := result.(*instance); ok && o != nil && want == "@s" {
		if _, ok := o.value.(string); !ok {
			r.fault("the %s that %s gives is taken as a string", o.class.name, selector)
			return nil, false
		}
	}
	return result, true
}

// owning says whether results of a method belong to the caller, from its name.
func owning(selector string) bool {
	for _, family := range []string{"new", "alloc", "copy", "mutableCopy"} {
		rest, ok := strings.CutPrefix(selector, family)
		if ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
			return true
		}
	}
	return false
}

// everyObjects are the methods of NSObject, and new and alloc of classes whose objects are
// made so.
func (r *Runtime) everyObjects(self *instance, selector string) (method, bool) {
	switch selector {
	case "init":
		return method{"@", func(c *call) any { return c.self }}, true
	case "description":
		return method{"@", func(c *call) any { return made{c.r.newString(describe(c.self))} }}, true
	}
	c, isClass := self.value.(*class)
	if isClass && c.fresh != nil && (selector == "new" || selector == "alloc") {
		return method{"@", func(m *call) any { return made{m.r.create(c.name, c.fresh())} }}, true
	}
	return method{}, false
}
