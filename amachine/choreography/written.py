"""Scripts as JSON: out, and in again. What is read is data: every name in it is looked up, none is imported or called.

The form is told by the classes below. Places in files do not go along: another machine has other files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from amachine.choreography.script import EXIT, BranchDef, Inform, RegionDef, SceneDef, Script
from amachine.choreography.typenames import is_common, payload_name, payload_of, payload_schema
from amachine.errors import AmachineError, nearest

__all__ = ["ScriptDataError", "parse", "to_dict"]

TEXT_LIMIT = 16 * 2**20
"""Bytes of JSON that are read."""

# No control characters: names are printed to terminals and drawn.
_PATTERN = r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z"
_Name: TypeAlias = Annotated[str, Meta(pattern=_PATTERN, max_length=200)]
_Id: TypeAlias = Annotated[str, Meta(pattern=_PATTERN, max_length=20_000)]
_Type: TypeAlias = Annotated[str, Meta(pattern=_PATTERN, max_length=1000)]
_Roles: TypeAlias = Annotated[tuple[_Name, ...], Meta(max_length=1000)]
_Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=1e9)]


class ScriptDataError(AmachineError):
    """Data is no script. `path` says where in it: `scenes[3].branches[0].to`."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is left out has its default value; what is not known is an error."""


class _Branch(_Part, frozen=True):
    label: _Name
    next: _Id
    payload: _Type | None = None
    to: _Roles = ()
    weight: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """By default 1."""
    after: _Seconds | None = None
    ignored: bool = False


class _Scene(_Part, frozen=True):
    id: _Id
    sender: _Name
    branches: Annotated[tuple[_Branch, ...], Meta(max_length=256)]
    name: _Id | None = None
    """By default what stands before the first bracket of its id."""
    receivers: _Roles = ()
    region: _Name | None = None
    patience: _Seconds | None = None


class _Inform(_Part, frozen=True):
    scene: _Id
    label: _Name
    role: _Name


class _Region(_Part, frozen=True):
    name: _Name
    on_lost: Annotated[dict[_Name, _Id], Meta(max_length=1000)] = {}
    restart: bool = False
    parent: _Name | None = None


class _Whole(_Part, frozen=True):
    version: Literal[1]
    name: _Id
    roles: _Roles
    start: _Id
    scenes: Annotated[tuple[_Scene, ...], Meta(max_length=10_000)]
    exits: Annotated[tuple[_Id, ...], Meta(max_length=1000)] = (EXIT,)
    informs: Annotated[tuple[_Inform, ...], Meta(max_length=100_000)] = ()
    regions: Annotated[tuple[_Region, ...], Meta(max_length=1000)] = ()
    mortal: _Roles = ()
    endless: bool = False
    closing: bool = False
    types: Annotated[dict[_Type, Any], Meta(max_length=10_000)] = {}
    """By name, the JSON schemas of the payload types that are not everywhere the same."""


def to_dict(script: Script) -> dict[str, Any]:
    """The script as data for JSON, from which `parse` makes an equal one.

    Payload types go by their names, those that are not Python's own with their JSON schema.
    """
    types = _Types()
    scenes = tuple(_scene_out(scene, types) for scene in script.scenes.values())
    whole = _Whole(
        version=1,
        name=script.name,
        roles=script.roles,
        start=script.start,
        scenes=scenes,
        exits=script.exits,
        informs=tuple(_Inform(each.scene, each.label, each.role) for each in script.informs),
        regions=tuple(
            _Region(each.name, dict(each.on_lost), each.restart, each.parent)
            for each in script.regions.values()
        ),
        mortal=script.mortal,
        endless=script.endless,
        closing=script.closing,
        types=types.schemas,
    )
    data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))
    return data


class _Types:
    """The names that payload types have in one document."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self._types: dict[str, Any] = {}

    def name_of(self, payload: Any) -> str:
        """Its name; a number is added where two types have the same one."""
        plain = name = payload_name(payload, full=True)
        number = 1
        while self._types.setdefault(name, payload) != payload:
            number += 1
            name = f"{plain}#{number}"
        if name not in self.schemas and (number > 1 or not is_common(payload)):
            self.schemas[name] = payload_schema(payload)
        return name


def _scene_out(scene: SceneDef, types: _Types) -> _Scene:
    branches = tuple(
        _Branch(
            each.label,
            each.next,
            payload=None if each.payload is None else types.name_of(each.payload),
            to=each.to,
            weight=None if each.weight == 1 else each.weight,
            after=each.after,
            ignored=each.ignored,
        )
        for each in scene.branches
    )
    name = None if scene.name == _name_in(scene.id) else scene.name
    return _Scene(scene.id, scene.sender, branches, name, scene.receivers, scene.region, scene.patience)


def _name_in(id: str) -> str:
    return id.partition("[")[0]


def parse(data: object, *, types: Mapping[str, Any] | None = None) -> Script:
    """The script that is written in JSON text (`str` or `bytes`), or in the data that such a text holds.

    `types` are the payload types that the program knows, by name, with or without their module. One that it does not know
    becomes an `Opaque` one, with its name and schema: enough to check, to draw, and to compare fingerprints.
    Errors: `ScriptDataError`, which names the place in the data. Whether the script is sound is for `check` to say.
    """
    whole = _validated(data)
    _look_over(whole)
    known: Mapping[str, Any] = {} if types is None else types
    made = {name: payload_of(name, known, whole.types.get(name)) for name in _payloads(whole)}
    return Script(
        name=whole.name,
        roles=whole.roles,
        start=whole.start,
        scenes={each.id: _scene_in(each, made) for each in whole.scenes},
        exits=whole.exits,
        informs=tuple(Inform(each.scene, each.label, each.role) for each in whole.informs),
        regions={
            each.name: RegionDef(each.name, tuple(each.on_lost.items()), each.restart, each.parent)
            for each in whole.regions
        },
        mortal=whole.mortal,
        endless=whole.endless,
        closing=whole.closing,
    )


def _validated(data: object) -> _Whole:
    try:
        if isinstance(data, str | bytes | bytearray):
            if len(data) > TEXT_LIMIT:
                raise ScriptDataError(
                    f"{len(data):,} bytes of JSON are more than the {TEXT_LIMIT:,} that are read"
                )
            return msgspec.json.decode(data, type=_Whole)
        return msgspec.convert(data, _Whole)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        text, _, path = str(error).partition(" - at `$")
        raise ScriptDataError(_mended(text), path=path.rstrip("`").lstrip(".")) from None


def _mended(text: str) -> str:
    """What msgspec says, for people."""
    if "matching regex" in text:
        return "a name is expected, of at least one character and without control characters"
    if field := re.search(r"unknown field `(.*)`", text):
        known = {
            name for part in (_Whole, _Scene, _Branch, _Inform, _Region) for name in part.__struct_fields__
        }
        return f"{text}{nearest(field[1], known)}"
    return text


def _payloads(whole: _Whole) -> dict[str, None]:
    return {b.payload: None for scene in whole.scenes for b in scene.branches if b.payload is not None}


def _scene_in(scene: _Scene, types: Mapping[str, Any]) -> SceneDef:
    branches = tuple(
        BranchDef(
            each.label,
            None if each.payload is None else types[each.payload],
            each.to,
            each.next,
            weight=1.0 if each.weight is None else each.weight,
            after=each.after,
            ignored=each.ignored,
        )
        for each in scene.branches
    )
    name = _name_in(scene.id) if scene.name is None else scene.name
    return SceneDef(
        scene.id, name, scene.sender, scene.receivers, branches, region=scene.region, patience=scene.patience
    )


def _look_over(whole: _Whole) -> None:
    """See that every name leads somewhere, and that no two things have one. Errors: `ScriptDataError`."""
    roles = _once("roles", whole.roles)
    scenes = _once("scenes", (each.id for each in whole.scenes), ".id")
    exits = _once("exits", whole.exits)
    for name in scenes.keys() & exits.keys():
        raise ScriptDataError(f"{name!r} is a scene, as scenes[{scenes[name]}]", path=f"exits[{exits[name]}]")
    places = scenes | exits
    regions = _once("regions", (each.name for each in whole.regions), ".name")
    _known("start", "scene or exit", whole.start, places)
    for at, role in enumerate(whole.mortal):
        _known(f"mortal[{at}]", "role", role, roles)
    labels = {
        id: _look_over_scene(f"scenes[{at}]", whole.scenes[at], roles, places, regions)
        for id, at in scenes.items()
    }
    for at, each in enumerate(whole.informs):
        _known(f"informs[{at}].scene", "scene", each.scene, scenes)
        _known(f"informs[{at}].label", f"branch of {each.scene}", each.label, labels[each.scene])
        _known(f"informs[{at}].role", "role", each.role, roles)
    for at, region in enumerate(whole.regions):
        for lost, next in region.on_lost.items():
            _known(f"regions[{at}].on_lost", "role", lost, roles)
            _known(f"regions[{at}].on_lost.{lost}", "scene or exit", next, places)
        if region.parent is not None:
            _known(f"regions[{at}].parent", "region", region.parent, regions)
        _see_it_ends(f"regions[{at}].parent", region, {each.name: each for each in whole.regions})


def _look_over_scene(
    path: str, scene: _Scene, roles: Mapping[str, int], places: Mapping[str, int], regions: Mapping[str, int]
) -> Mapping[str, int]:
    """By label, the number of the branch."""
    for where, role in _roles_of(scene):
        _known(f"{path}.{where}", "role", role, roles)
    if scene.region is not None:
        _known(f"{path}.region", "region", scene.region, regions)
    for at, branch in enumerate(scene.branches):
        _known(f"{path}.branches[{at}].next", "scene or exit", branch.next, places)
    return _once(f"{path}.branches", (each.label for each in scene.branches), ".label")


def _roles_of(scene: _Scene) -> Iterator[tuple[str, str]]:
    yield "sender", scene.sender
    yield from ((f"receivers[{at}]", role) for at, role in enumerate(scene.receivers))
    for number, branch in enumerate(scene.branches):
        yield from ((f"branches[{number}].to[{at}]", role) for at, role in enumerate(branch.to))


def _once(path: str, names: Iterable[str], key: str = "") -> dict[str, int]:
    """By name, its number."""
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        if found.setdefault(name, at) != at:
            raise ScriptDataError(
                f"{name!r} is there already, as {path}[{found[name]}]", path=f"{path}[{at}]{key}"
            )
    return found


def _known(path: str, what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ScriptDataError(f"there is no {what} {name!r}{nearest(name, known)}", path=path)


def _see_it_ends(path: str, region: _Region, regions: Mapping[str, _Region]) -> None:
    seen = {region.name}
    while region.parent is not None and region.parent in regions:
        region = regions[region.parent]
        if region.name in seen:
            raise ScriptDataError(f"region {region.name!r} is inside of itself", path=path)
        seen.add(region.name)
