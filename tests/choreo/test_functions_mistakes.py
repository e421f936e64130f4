"""What is wrong with script functions is told with the user's line, all of it at once; what a type checker finds, too."""

from __future__ import annotations

import linecache
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from amachine.choreography.diagnostics import ChoreographyError
from amachine.choreography.functions.scripted import ScriptFunction, choreography

PRELUDE = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol
from amachine.choreography.functions.scripted import choreography

class Verdict(Enum):
    GOOD = 1
    BAD = 2

@dataclass
class Text:
    words: str

@dataclass
class Number:
    value: int
    unit: str

class Alice(Protocol):
    count: int
    name: str
    untold = None
    def go(self) -> bool: ...
    def add(self, n: int, /) -> int: ...
    def read(self) -> Text | Number: ...
    def forget(self) -> None: ...
    def silent(self): ...
    def judge(self) -> Verdict: ...
    @property
    def size(self) -> int: ...

class Bob(Protocol):
    count: int
    ready: bool
    def take(self, n: int, /) -> None: ...
    def write(self, words: str, /) -> None: ...
    def fine(self) -> bool: ...

@choreography
def tell(a: Alice, b: Bob) -> None:
    b.count = a.count

@choreography
def ask(a: Alice, b: Bob) -> bool:
    b.count = a.count
    return b.fine()

"""
numbers = count(1)


def stage(text: str, space: dict[str, Any] | None = None) -> ModuleType:
    """A module with that text, in a file of its own, whose source can be read."""
    name = f"scripts_{next(numbers)}"
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(space or {}, __name__=name)
    linecache.cache[f"<{name}>"] = (len(text), None, text.splitlines(keepends=True), f"<{name}>")
    exec(compile(text, f"<{name}>", "exec", dont_inherit=True), vars(module))
    return module


COMMON = vars(stage(PRELUDE))


def written(text: str, *, name: str = "f") -> ScriptFunction[..., Any]:
    """The script function of that name, written below the prelude."""
    found: ScriptFunction[..., Any] = getattr(stage(textwrap.dedent(text).strip("\n") + "\n", COMMON), name)
    return found


def told(body: str, head: str = "def f(a: Alice, b: Bob) -> None:") -> list[tuple[int | None, str, str]]:
    """The line in the body, the code and all that is said, of what is found in a function with that body."""
    script = written(f"@choreography\n{head}\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    "))
    found = script.reading.diagnostics
    return [(each.line and each.line - 2, each.code, f"{each.text} | {each.hint}") for each in found]


PROGRAM = Path(__file__).parent.parent / "typing" / "mistakes_functions.py"


def test_what_type_checkers_report_is_told_without_them() -> None:
    """The part of the program that both checkers judge in which there are scripts."""
    text = PROGRAM.read_text(encoding="utf-8").partition("@choreography(infrom")[0]
    marked = [number for number, line in enumerate(text.splitlines(), 1) if "  # E " in line]
    module = stage(text)
    scripts: list[Any] = [value for value in vars(module).values() if isinstance(value, ScriptFunction)]
    found: set[int | None] = {each.line for script in scripts for each in script.reading.diagnostics}
    assert sorted(line for line in found if line) == marked


UNREADABLE = {
    "def f(a, b: Bob) -> None: pass": [("AMC300", "'a' does not say what it must offer")],
    "def f(*all: Bob) -> None: pass": [("AMC300", "any number"), ("AMC300", "casts nobody")],
    "def f() -> None: pass": [("AMC300", "casts nobody")],
    "def f(a: int, b: Bob) -> None: pass": [("AMC300", "typed by int")],
    "def f(a: Alicce, b: Bob) -> None: pass": [("AMC300", "did you mean 'Alice'?")],
}


@pytest.mark.parametrize("head", UNREADABLE)
def test_every_parameter_has_to_be_a_role(head: str) -> None:
    found = written(f"from __future__ import annotations\n@choreography\n{head}").reading.diagnostics
    assert [each.code for each in found] == [code for code, _ in UNREADABLE[head]]
    for each, (_, fragment) in zip(found, UNREADABLE[head], strict=True):
        assert fragment in f"{each.text} | {each.hint}"
        assert each.line == 3


def test_without_source_it_says_what_to_do() -> None:
    space = dict(COMMON)
    exec("@choreography\ndef f(a: Alice, b: Bob) -> None:\n    b.count = a.count", space)
    (found,) = space["f"].check()
    assert found.code == "AMC303"
    assert "scene classes" in found.hint


def test_what_only_init_assigns_is_to_be_declared() -> None:
    text = """
    class Carl:
        def __init__(self) -> None:
            self.count = 0

    @choreography
    def f(a: Alice, c: Carl) -> None:
        c.count = a.count
    """
    (found,) = written(text).check()
    assert found.code == "AMC308"
    assert "declare it in the class, `count: …`" in found.hint


def test_a_file_that_changed_is_not_taken_for_what_runs(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    text = "@choreography\ndef f(a: Alice, b: Bob) -> None:\n    b.count = a.count\n"
    file.write_text(text)
    space = dict(COMMON)
    exec(compile(text, str(file), "exec"), space)
    file.write_text("# something\n# else\ndef other(): pass\n")
    (found,) = space["f"].check()
    assert (found.code, found.hint) == ("AMC303", "import it again")
    (found,) = choreography(lambda: None).check()
    assert found.code == "AMC300"


def test_all_is_told_at_once_and_raised_when_it_is_used() -> None:
    script = written("""
    @choreography
    def g(a: Alice, b: Bob) -> None:
        b.count = a.coun

    @choreography
    def f(a: Alice, b: Bob) -> bool:
        g(a, b)
        for n in []: pass
        if a.go():
            return True
        g(a, b)
        b.tak(1)
    """)
    codes = [each.code for each in script.check()]
    assert codes == ["AMC308", "AMC304", "AMC308", "AMC310"]
    with pytest.raises(ChoreographyError) as failed:
        _ = script.script
    assert list(failed.value.codes) == codes
    assert f"<{script.__module__}>:3: AMC308 a, a Alice, offers no 'coun'" in str(failed.value)


def test_an_end_without_the_value_that_is_promised_is_told() -> None:
    (found,) = told("if a.go():\n    return True", head="def f(a: Alice, b: Bob) -> bool:")
    assert found[1] == "AMC310"


MISTAKES: dict[str, list[tuple[int, str, str]]] = {
    "if a.count > b.count: b.count = 1": [(1, "AMC302", "this one reads a and b")],
    "if 1 > 2: b.count = 1": [(1, "AMC302", "reads nothing of any")],
    "while a.go() and b.fine(): b.count = a.count": [(1, "AMC302", "nest two ifs")],
    "match (a.count, b.count):\n    case _: pass": [(1, "AMC302", "reads a and b")],
    "match a.read():\n    case Text(w) if b.ready: b.write(w)": [(2, "AMC302", "the guard cannot read b")],
    "for n in range(3): b.count = a.count": [(1, "AMC304", "For is not part of the choreography subset")],
    "with a.read(): pass": [(1, "AMC304", "With is not part")],
    "try:\n    tell(a, b)\nfinally:\n    pass": [(1, "AMC304", "match that")],
    "b.count, b.ready = a.count, True": [(1, "AMC304", "one thing at a time")],
    "x.count = a.count": [(1, "AMC304", "belongs to no role")],
    "a.count": [(1, "AMC304", "does nothing")],
    "b.take((n := a.count))": [(1, "AMC304", "assignment inside")],
    "b.count = a.untold": [(1, "AMC305", "no annotation tells the type")],
    "b.count = a.silent()": [(1, "AMC305", "no annotation tells the type")],
    "b.count = a.forget()": [
        (1, "AMC309", "b.count is int, but a.forget() is None"),
        (1, "AMC305", "nothing that could be sent"),
    ],
    "b.take(a)": [(1, "AMC306", "a is a role")],
    "a.count = b": [(1, "AMC306", "b is a role")],
    "b.take(b.count or a.count)": [(1, "AMC306", "not always evaluated")],
    "b.take(1 if b.ready else a.count)": [(1, "AMC306", "not always evaluated")],
    "b.take(sum(a.count for _ in range(3)))": [(1, "AMC305", "let an operation of a give it")],
    "b.take(sum(a.count + b.count for _ in range(3)))": [(1, "AMC306", "not always evaluated")],
    "print(a.count, b.count)": [(1, "AMC306", "reads a and b")],
    "a.count = b.count = a.count + b.count": [(1, "AMC306", "who makes it?")],
    "tell(a)": [(1, "AMC307", "nobody plays b")],
    "tell(a, b, a)": [(1, "AMC307", "has 2 roles, not 3")],
    "tell(a, 3)": [(1, "AMC307", "`3` is none")],
    "tell(a, bb)": [(1, "AMC307", "did you mean 'b'?")],
    "tell(a=a, bb=b)": [(1, "AMC307", "did you mean 'b'?"), (1, "AMC307", "nobody plays b")],
    "tell(a, a)": [(1, "AMC104", "a appears twice"), (1, "AMC107", "lacks fine, ready, take, write")],
    "tell(b, a)": [(1, "AMC107", "b, a Bob, cannot play a of tell"), (1, "AMC107", "a, a Alice, cannot")],
    "b.count = a.coun": [(1, "AMC308", "did you mean 'count'?")],
    "b.cont = a.count": [(1, "AMC308", "did you mean 'count'?")],
    "b.tak(a.count)": [(1, "AMC308", "it offers: count, fine, ready, take, write")],
    "match a.judge():\n    case Verdict.GODO: pass\n    case _: pass": [
        (2, "AMC308", "did you mean 'GOOD'?")
    ],
    "match a.read():\n    case Text(word=w): b.write(w)": [(2, "AMC308", "'word'")],
    "b.count = a.name": [(1, "AMC309", "b.count is int, but a.name is str")],
    "b.take(a.name)": [(1, "AMC309", "'n' is int, but a.name is str")],
    "b.take('three')": [(1, "AMC309", "is int")],
    "b.take(a.count, 1)": [(1, "AMC309", "too many positional arguments")],
    "b.take()": [(1, "AMC309", "missing a required argument: 'n'")],
    "b.count()": [(1, "AMC309", "cannot be called")],
    "a.size = b.count": [(1, "AMC309", "can only be read")],
    "a.go = b.ready": [(1, "AMC309", "is an operation")],
    "b.take(a.add)": [(1, "AMC309", "a.add is an operation, and no value | call it: `a.add(…)`")],
    "b.ready = a.go": [(1, "AMC309", "a.go is an operation, and no value | call it: `a.go()`")],
    "a.name = b.fine\nb.take(1)": [(1, "AMC309", "call it: `b.fine()`")],
    "if a.go: b.take(1)": [(1, "AMC309", "call it: `a.go()`")],
    "while not a.go: b.take(1)": [(1, "AMC309", "call it: `a.go()`")],
    "if a.count and a.go: b.take(1)": [(1, "AMC309", "call it: `a.go()`")],
    "match a.judge:\n    case Verdict.GOOD: b.take(1)\n    case _: b.take(2)": [
        (1, "AMC309", "call it: `a.judge()`")
    ],
    "x = a.go\nb.take(1)\nb.ready = x": [(1, "AMC309", "call it: `a.go()`")],
    "b.write(f'{a.go} {a.name.upper}')": [
        (1, "AMC309", "a.go is an operation"),
        (1, "AMC309", "a.name.upper is an operation, and no value"),
    ],
    "b.take(a.add(a.add))": [(1, "AMC309", "a.add is an operation")],
    "b.take(a.add(b.take))": [(1, "AMC309", "call it: `b.take(…)`"), (1, "AMC305", "gives a nothing")],
    "a.go\nb.take(1)": [(1, "AMC309", "call it: `a.go()`")],
    "match a.read():\n    case Text(w, x): b.write(w)": [(2, "AMC309", "2 parts in a row, of 1")],
    "match a.read():\n    case Verdict(): b.take(1)": [(2, "AMC309", "never is what is matched")],
    "match a.read():\n    case Text(w): b.take(w)": [(2, "AMC309", "'n' is int, but w is str")],
    "return a.count": [(1, "AMC310", "names no exit: it is int")],
    "return a.go()": [(1, "AMC309", "says that it returns None")],
    "b.ready = ask(a, b)": [(1, "AMC311", "no value that a role has")],
    "b.take(ask(a, b))": [(1, "AMC311", "branch on it")],
    "match ask(a, b):\n    case Text(): pass": [(2, "AMC311", "matched with constants")],
    "match ask(a, b):\n    case True: tell(a, b)\n    case Verdict.GOOD: pass\n    case 'fine' | 3: pass": [
        (3, "AMC309", "Verdict.GOOD never is what ask returns | it returns: True, False"),
        (4, "AMC309", "'fine' | 3 never is"),
    ],
    "m, n = a.count, 2\nb.take(m)": [(1, "AMC304", "one thing at a time")],
    "n = a.count + b.count\nb.take(n)": [(1, "AMC306", "reads a and b")],
    "b.take(cuont)": [(1, "AMC312", "cuont means nothing here")],
    "n = a.count\nn = b.count": [(2, "AMC312", "n is known to a already")],
    "b = a.count": [(1, "AMC306", "b is a role"), (1, "AMC304", "belongs to no role")],
    "while True: pass": [(1, "AMC313", "nobody ever does anything")],
    "tell(a, b)\nf(a, b)\ntell(a, b)": [(2, "AMC301", "recursion that is not a loop")],
}


@pytest.mark.parametrize("body", MISTAKES)
def test_each_mistake_is_told_at_its_line(body: str) -> None:
    found = told(body)
    expected = MISTAKES[body]
    assert [(line, code) for line, code, _ in found] == [(line, code) for line, code, _ in expected], found
    for (_, _, text), (_, _, fragment) in zip(found, expected, strict=True):
        assert fragment in text


CALLED_BACK = """
from collections.abc import Callable
class Caller(Protocol):
    count: int
    def rank(self, n: int, /) -> int: ...
    def items(self) -> list[int]: ...
    def most(self, by: Callable[[int], int], /) -> int: ...
    def any(self, by, /) -> int: ...
    def maybe(self) -> int | None: ...
    def either(self) -> int | str: ...
    def many(self) -> list[int] | None: ...
    def text(self) -> Text | None: ...
class Taker(Protocol):
    count: int
    def take(self, n: int, /) -> None: ...
    def all(self, n: list[int], /) -> None: ...
    def text(self, words: Text, /) -> None: ...
"""


def told_of(body: str) -> list[str]:
    """All that is said of a script of two such roles."""
    head = f"{CALLED_BACK}@choreography\ndef f(a: Caller, b: Taker) -> None:\n"
    return [
        f"{each.code} {each.text} | {each.hint}"
        for each in written(head + textwrap.indent(body, "    ")).check()
    ]


@pytest.mark.parametrize(
    "body",
    [
        "b.take(a.most(a.rank))",
        "b.take(a.any(a.rank))",
        "b.take(len(sorted(a.items(), key=a.rank)))",
        "b.take(len([rank for rank in map(a.rank, a.items())]))",
    ],
)
def test_a_role_may_hand_its_own_operations_to_what_it_calls(body: str) -> None:
    assert told_of(body) == []


NARROWED = {
    "b.take(a.maybe())": ("a.maybe()", "int | None", "int", "None"),
    "x = a.maybe()\nif x is not None:\n    b.take(x)": ("x", "int | None", "int", "None"),
    "b.count = a.either()": ("a.either()", "int | str", "int", "_"),
    "b.all(a.many())": ("a.many()", "list[int] | None", "list", "None"),
    "b.text(a.text())": ("a.text()", "Text | None", "Text", "None"),
}


@pytest.mark.parametrize("body", NARROWED)
def test_what_is_sent_of_a_union_is_told_apart_by_a_match_and_by_no_if(body: str) -> None:
    value, kind, cls, rest = NARROWED[body]
    (said,) = told_of(body)
    assert said.startswith("AMC309 b.")
    assert f"{value} is " in said
    assert kind in said
    hint = f"`match {value}:`, `case {cls}() as n: …`, `case {rest}: …`"
    assert said.endswith(f" | an `if` does not narrow it, a `match` does: {hint}")
    send = body.splitlines()[-1].strip().replace(value, "n")
    mended = f"match {value}:\n    case {cls}() as n:\n        {send}\n    case {rest}:\n        b.take(1)"
    first = "" if value != "x" else "x = a.maybe()\n"
    assert told_of(first + mended) == [], "the hint helps"


NAMESAKES = {
    "Literal['a-b', 'a_b']": ("'a-b'", "'a_b'", "ReturnedAB"),
    "Literal['x', 'X']": ("'x'", "'X'", "ReturnedX"),
    "bool | Literal['true']": ("True", "'true'", "ReturnedTrue"),
}


@pytest.mark.parametrize("kind", NAMESAKES)
def test_two_values_that_would_name_one_exit_are_told(kind: str) -> None:
    one, other, name = NAMESAKES[kind]
    body = f"b.count = a.count\nif a.go():\n    return {one}\nreturn {other}"
    (found,) = told(body, f"def f(a: Alice, b: Bob) -> {kind}:")
    assert found[1] == "AMC216"
    assert f"f returns {one} and {other}: both name {name}" in found[2]


def test_values_that_differ_in_their_sign_name_two_exits() -> None:
    text = """
    @choreography
    def f(a: Alice, b: Bob) -> Literal[1, -1]:
        b.count = a.count
        if a.go():
            return 1
        return -1
    """
    assert written(text).reading.script.exits == ("ReturnedIs1", "ReturnedMinus1")


def test_what_is_no_function_is_told_without_a_line() -> None:
    wrong: Any = choreography
    for thing in (5, int, len):
        (found,) = wrong(thing).check()
        assert (found.code, found.place) == ("AMC300", None)
    (found,) = wrong(
        written("@choreography\ndef f(a: Alice, b: Bob) -> None:\n    b.count = a.count")
    ).check()
    assert found.code == "AMC300"


def test_options_that_there_are_not_are_refused_at_once() -> None:
    wrong: Any = choreography
    with pytest.raises(ValueError, match=r"inform='atuo' \(did you mean 'auto'\?\): there are 'auto', 'all'"):
        wrong(inform="atuo")
    with pytest.raises(ValueError, match="end='never': there are 'known', 'bye'"):
        wrong(end="never")


def test_attributes_of_a_function_are_its_own_business() -> None:
    def tells(a: Any, b: Any) -> None: ...

    vars(tells).update(script="none of ours", function=None)
    assert choreography(tells).function is tells


def test_threads_may_ask_for_one_at_once() -> None:
    text = "@choreography\ndef f(a: Alice, b: Bob) -> None:\n" + "    b.count = a.count\n" * 20
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            for _ in range(10):
                script = written(text)
                for each in [pool.submit(lambda: script.script) for _ in range(6)]:  # noqa: B023
                    assert each.result() is script.script
    finally:
        sys.setswitchinterval(before)


UNSET = {
    "b.take(x)\nx = a.count": [(1, "AMC314", "a may read x here before it has a value")],
    "if a.go():\n    x = a.count\nb.take(x)": [(3, "AMC314", "a may read x here")],
    "while a.go():\n    x = a.count\nb.take(x)": [(3, "AMC314", "a may read x here")],
    "if a.go():\n    x = a.count\nelse:\n    x = a.size\nb.take(x)": [],
    "x = a.count\nwhile a.go():\n    b.take(x)\n    x = a.add(x)": [],
    "b.take(a.add([x for x in [a.count]][0]))\nx = a.size\nb.take(x)": [],
    "match a.read():\n    case Text(w):\n        b.write(w)\n    case Number(v):\n        b.take(v)": [],
}


@pytest.mark.parametrize("body", UNSET)
def test_a_value_that_may_be_read_before_there_is_one_is_told_and_no_other(body: str) -> None:
    found = [(each[0], each[1]) for each in told(body)]
    assert found == [each[:2] for each in UNSET[body]]
    assert all(part in one[2] for one, (_, _, part) in zip(told(body), UNSET[body], strict=True))


def test_what_a_called_choreography_did_before_counts_for_later_calls_of_it() -> None:
    head = "def f(a: Alice, b: Bob) -> None:"
    assert told("x = a.count\ntell(a, b)\nb.take(x)", head) == []


@pytest.mark.parametrize("terms", [60, 900])
def test_an_expression_of_many_terms_is_read_or_told_but_raises_nothing(terms: int) -> None:
    found = told(f"b.take({' + '.join(['a.count'] * terms)})")
    assert {each[1] for each in found} <= {"AMC304"}
    assert bool(found) == (terms == 900)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("yield a.count", "AMC304", "yield is not part of the choreography subset"),
        ("if judged(a, b) and a.go():\n    b.count = a.count", "AMC311", "what judged returns is no value"),
        ("if judged(a, b) == 1:\n    b.count = a.count", "AMC311", "what judged returns is no value"),
    ],
)
def test_the_true_reason_is_told(body: str, code: str, text: str) -> None:
    judged = (
        "@choreography\ndef judged(a: Alice, b: Bob) -> bool:\n    b.count = a.count\n    return a.go()\n\n"
    )
    script = written(
        judged + "@choreography\ndef f(a: Alice, b: Bob) -> None:\n" + textwrap.indent(body, "    ")
    )
    (found,) = script.check()
    assert found.code == code
    assert text in found.text


@pytest.mark.parametrize(
    ("kind", "cases", "labels"),
    [
        ("list[int]", ["[x, *_]", "[]"], 2),
        ("list[int]", ["[]", "[_]", "[_, _, *_]"], 3),
        ("list[int]", ["[x, *_]"], 2),
        ("tuple[int, str]", ["(x, _)"], 1),
        ("Sequence[str]", ["[]", "[_, *_]"], 3),
    ],
)
def test_sequences_of_all_lengths_are_everything(kind: str, cases: list[str], labels: int) -> None:
    text = f"""
from collections.abc import Sequence
class Has(Protocol):
    count: int
    def all(self) -> {kind}: ...
@choreography
def f(a: Has, b: Bob) -> None:
    match a.all():
"""
    text += "".join(f"        case {each}: b.count = a.count\n" for each in cases)
    (choice,) = [each for each in written(text).script.scenes.values() if "All" in each.name]
    assert len(choice.branches) == labels


def test_who_does_nothing_and_a_wrong_inform_are_told_at_the_line_of_the_role() -> None:
    source = """
@choreography(informs=[Inform('no', 'such', 'a')])
def f(
    a: Alice,
    b: Bob,
    c: Bob,
) -> None:
    b.count = a.count
"""
    script = written("from amachine.choreography import Inform\n" + source)
    (found,) = script.check()
    assert found.code == "AMC113"
    assert linecache.getline(found.file or "", found.line or 0).strip() == "a: Alice,"
    script = written(source.replace("informs=[Inform('no', 'such', 'a')]", ""))
    (found,) = script.check()
    assert found.code == "AMC112"
    assert linecache.getline(found.file or "", found.line or 0).strip() == "c: Bob,"


class _Broken:
    name = "broken"

    def problem(self, payload: Any) -> str | None:
        raise AttributeError("the cause of it")

    limit = encoder = decoder = problem


def test_an_attribute_error_inside_of_what_is_read_is_not_hidden() -> None:
    script = written("@choreography\ndef f(a: Alice, b: Bob) -> None:\n    b.count = a.count")
    broken = choreography(codec=_Broken())(script.function)
    for ask in ("reading", "script", "tables"):
        with pytest.raises(AttributeError, match="the cause of it"):
            getattr(broken, ask)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(broken, "nothing")  # noqa: B009  # checkers see it, too


WRONG_OPTIONS = {
    "informs": (["x"], TypeError, "informs: 'x' is no Inform"),
    "codec": (3, TypeError, "codec=3 is no Codec: it has no name"),
    "patience": (-1, ValueError, "patience=-1: it is a number of seconds above 0"),
    "name": (5, TypeError, "name=5: a name is a text"),
    "profile": ({("f", "count"): float("nan")}, ValueError, "profile: f.count was taken nan times"),
}


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_options_that_make_no_sense_are_refused_with_their_names(name: str) -> None:
    value, error, text = WRONG_OPTIONS[name]
    wrong: Any = choreography
    with pytest.raises(error, match=text):
        wrong(**{name: value})


def test_a_profile_of_another_choreography_is_refused() -> None:
    script = written("@choreography\ndef f(a: Alice, b: Bob) -> None:\n    b.count = a.count")
    other = choreography(profile={("FCuont", "count"): 2.0})(script.function)
    with pytest.raises(ValueError, match=r"f has no branch FCuont.count \(did you mean 'FCount.count'\?\)"):
        _ = other.script
