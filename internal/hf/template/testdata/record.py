# Records testdata/jinja2.json: what Python's jinja2 3.1.6, set up as
# transformers sets it up for chat templates, makes of the templates in
# cases.txt. Run: python3 record.py < cases.txt > jinja2.json
import datetime, json, sys
import jinja2, jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: NOW.strftime(f)
    return env


def context():
    return {
        "n": 5, "zero": 0, "neg": -7, "f": 2.5, "big": 12345678901234567890, "t": True, "no": False, "nil": None,
        "s": "Hello World", "empty": "", "uni": "Zürich ß İ ΣΑΣ ǆ", "ws": "  a \t b\n", "html": "<b>&'\"</b>",
        "l": [3, 1, 2], "ls": ["b", "a", "C"], "nested": [[1, [2, 3]], [4]],
        "d": {"b": 1, "a": [1, {"x": None}], "items": "k"},
        "users": [{"name": "Bo", "age": 30, "on": True}, {"name": "al", "age": 20, "on": False}, {"name": "Cy", "age": 30}],
        "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}],
    }


def render(src):
    try:
        return {"src": src, "text": environment().from_string(src).render(**context())}
    except Exception as e:
        return {"src": src, "error": type(e).__name__}


def main():
    cases = [json.loads(line) if line.startswith('"') else line for line in sys.stdin.read().split("\n")
             if line and not line.startswith("##")]
    out = [json.dumps(render(c), ensure_ascii=False) for c in cases]
    print('{"context": %s,\n"cases": [\n%s\n]}' % (json.dumps(context(), ensure_ascii=False), ",\n".join(out)))


if __name__ == "__main__":
    main()
