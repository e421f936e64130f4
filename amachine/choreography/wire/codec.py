"""How payloads become bytes, and bytes payloads: one encoder and one decoder for each branch, made once, strictly typed.

What comes from outside is data. It is never unpickled, never names what is to be called, and is never longer than its
branch allows; what does not fit its type is an `Unreadable`, whatever it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, cast, get_args

import attrs
import msgspec
from msgspec import inspect

from amachine.choreography.typenames import Opaque, payload_name
from amachine.errors import HandlerError, ProtocolError

__all__ = [
    "LIMIT", "STANDARD", "Buffer", "Codec", "Decode", "Encode", "Standard", "Unreadable", "Unsendable", "problem",
]  # fmt: skip

LIMIT = 16 * 1024 * 1024
"""The most bytes of one payload, where its type does not say less and nobody said otherwise."""

LEAST = 256
"""What every payload may take, so that one that grew by a field is told from one that is meant to hurt."""

Buffer: TypeAlias = bytes | bytearray | memoryview
Encode: TypeAlias = Callable[[Any], bytes]
Decode: TypeAlias = Callable[[Buffer], Any]


class Unsendable(HandlerError):
    """What a role was to send cannot travel. Nothing was sent. `scene` and `label` say which branch it was for."""

    def __init__(self, message: str, *, scene: str = "", label: str = "") -> None:
        super().__init__(f"{scene}.{label}: {message}" if scene else message)
        self.scene = scene
        self.label = label


class Unreadable(ProtocolError):
    """What the other end sent is not of the type of its branch."""


class Codec(Protocol):
    """Makes bytes of payloads. Give one to a choreography, as `codec=`, for other types or another format."""

    @property
    def name(self) -> str:
        """Both ends of a connection must have codecs of one name: a new format needs a new name."""
        ...

    def problem(self, payload: Any) -> str | None:
        """Why this type cannot travel, in a sentence; None if it can."""
        ...

    def limit(self, payload: Any) -> int:
        """The most bytes that a value of this type may take. Frames that say they are longer are not even read."""
        ...

    def encoder(self, payload: Any) -> Encode:
        """Make what encodes values of this type. It may raise anything: that value is not sent."""
        ...

    def decoder(self, payload: Any) -> Decode:
        """Make what decodes values of this type, and refuses all others with any exception.

        It must not keep the buffer, nor a view of it: that is used again.
        """
        ...


@attrs.frozen
class Standard:
    """msgpack for builtins, dataclasses, attrs classes and `msgspec.Struct`; bytes as they are.

    What is a class of pydantic, or has one in it, goes as JSON.
    """

    most: int = LIMIT
    """The most bytes of a payload whose type sets no bound: text, bytes, containers. Numbers and such have lower ones."""
    name: str = attrs.field(default="amachine-1", init=False)

    def problem(self, payload: Any) -> str | None:
        """Why this type cannot travel, in a sentence; None if it can."""
        if isinstance(payload, Opaque):
            return (
                f"{payload.name} is known by its name alone: the class is needed to make one of what arrives"
            )
        try:
            if _of_pydantic(payload):
                return _problem_of_pydantic(payload)
            foreign = next(map(payload_name, _foreign(inspect.type_info(payload), set())), None)
        except Exception as error:  # noqa: BLE001  # a type that says what it is may raise anything when it is asked
            return f"{payload_name(payload)} cannot be encoded: {_first_line(error)}"
        if foreign is None:
            return None
        which = "it" if foreign == payload_name(payload) else f"{foreign}, which is in it,"
        return (
            f"{payload_name(payload)} cannot be encoded: {which} is none of: builtins, dataclasses, attrs classes, "
            "msgspec.Struct, pydantic models"
        )

    def limit(self, payload: Any) -> int:
        """The most bytes that a value of this type may take."""
        if payload is None:
            return 0
        if payload is bytes or _of_pydantic(payload):
            return self.most
        bound = _bound(inspect.type_info(payload), ())
        return self.most if math.isinf(bound) else min(self.most, max(LEAST, 2 * int(bound)))

    def encoder(self, payload: Any) -> Encode:
        """Make what encodes values of this type."""
        if payload is None:
            return _encode_nothing
        if payload is bytes:
            return _encode_bytes
        if _of_pydantic(payload):
            dump = _adapter(payload).dump_json
            return lambda data: dump(data, warnings="error")
        return _ENCODER.encode

    def decoder(self, payload: Any) -> Decode:
        """Make what decodes values of this type."""
        if payload is None:
            return _decode_nothing
        if payload is bytes:
            return bytes
        if _of_pydantic(payload):
            return _decoder_of_pydantic(payload)
        return cast("Decode", msgspec.msgpack.Decoder(payload, strict=True).decode)


_ENCODER = msgspec.msgpack.Encoder()

STANDARD = Standard()
"""What is used where a choreography names no codec."""


def problem(payload: Any) -> str | None:
    """Why this type cannot travel without a codec of its own, in a sentence; None if it can."""
    return STANDARD.problem(payload)


def _encode_nothing(data: Any) -> bytes:
    if data is not None:
        raise TypeError(f"nothing goes along with it, got {type(data).__name__}")
    return b""


def _encode_bytes(data: Any) -> bytes:
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(cast("Buffer", data))  # a copy: whoever has it may go on writing to it
    raise TypeError(f"expected bytes, got {type(data).__name__}")


def _decode_nothing(data: Buffer) -> None:
    if len(data):
        raise ValueError(f"nothing goes along with it, but {len(data)} bytes came")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


# pydantic: only ever imported where a class of the user's is one of its own.


def _of_pydantic(payload: Any) -> bool:
    """Whether the type is one of pydantic's, or has one in its brackets or fields."""
    if hasattr(payload, "__pydantic_validator__"):
        return True
    try:
        info = inspect.type_info(payload)
    except Exception:  # noqa: BLE001  # what is in brackets need be no type
        return any(map(_of_pydantic, get_args(payload)))
    return any(hasattr(each, "__pydantic_validator__") for each in _foreign(info, set()))


def _problem_of_pydantic(payload: Any) -> str | None:
    try:
        _adapter(payload)
    except Exception as error:
        if hasattr(payload, "__pydantic_validator__"):
            raise
        return (
            f"{payload_name(payload)} cannot be encoded: there is a pydantic model in it, which may be in dataclasses, named "
            f"tuples and containers: {_first_line(error)}"
        )
    return None


def _decoder_of_pydantic(payload: Any) -> Decode:
    """Its errors say what is wrong and where, and show nothing of what came: they go to peers, and into logs."""
    from pydantic import ValidationError

    validate = _adapter(payload).validate_json

    def decode(data: bytes | bytearray | memoryview) -> Any:
        try:
            return validate(bytes(data), strict=True)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            said = [f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in wrong]
        raise ValueError("; ".join(said))

    return decode


def _adapter(payload: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(payload)


# Types as msgspec sees them.


_KINDS: dict[type[inspect.Type], Any] = {
    inspect.MemoryViewType: memoryview,
    inspect.RawType: msgspec.Raw,
    inspect.ExtType: msgspec.msgpack.Ext,
}


def _foreign(info: inspect.Type, seen: set[int]) -> Iterator[Any]:
    """What is in a type that msgspec cannot take. Of those `seen` already, by identity, it was told."""
    if id(info) in seen:
        return
    seen.add(id(info))
    match info:
        case inspect.CustomType(cls=kind):
            yield kind
        case inspect.MemoryViewType() | inspect.RawType() | inspect.ExtType():
            # Two of these would be views of a buffer that is used again, and a third means something to its author only.
            yield _KINDS[type(info)]
        case _:
            for part in _parts(info):
                yield from _foreign(part, seen)


def _parts(info: inspect.Type) -> Iterable[inspect.Type]:
    match info:
        case inspect.Metadata(type=inner):
            return (inner,)
        case inspect.UnionType(types=types) | inspect.TupleType(item_types=types):
            return types
        case inspect.CollectionType(item_type=item):
            return (item,)
        case inspect.DictType(key_type=key, value_type=value):
            return (key, value)
        case (
            inspect.StructType(fields=fields)
            | inspect.DataclassType(fields=fields)
            | inspect.NamedTupleType(fields=fields)
            | inspect.TypedDictType(fields=fields)
        ):
            return [field.type for field in fields]
        case _:
            return ()


_SIZES: dict[type[inspect.Type], float] = {
    inspect.NoneType: 1,
    inspect.BoolType: 1,
    inspect.IntType: 9,
    inspect.FloatType: 9,
    inspect.DateType: 16,
    inspect.TimeType: 32,
    inspect.DateTimeType: 48,
    inspect.TimeDeltaType: 64,
    inspect.UUIDType: 48,
}
"""The most bytes of what has no parts, in msgpack."""


def _bound(info: inspect.Type, inside: tuple[int, ...]) -> float:
    """The most bytes that a value takes in msgpack; infinity where the type sets no bound."""
    if id(info) in inside:
        return math.inf  # a type in itself
    within = (*inside, id(info))
    match info:
        case inspect.Metadata(type=inner):
            return _bound(inner, within)
        case inspect.StrType(max_length=most):
            return math.inf if most is None else 5 + 4 * most
        case inspect.BytesType(max_length=most) | inspect.ByteArrayType(max_length=most):
            return math.inf if most is None else 5 + most
        case inspect.EnumType(cls=kind):
            return max((_encoded(member.value) for member in kind), default=0)
        case inspect.LiteralType(values=values):
            return max(map(_encoded, values), default=0)
        case inspect.UnionType(types=types):
            return max(_bound(each, within) for each in types)
        case inspect.TupleType(item_types=types):
            return 5 + sum(_bound(each, within) for each in types)
        case inspect.CollectionType(item_type=item, max_length=most):
            return math.inf if most is None else 5 + most * _bound(item, within)
        case (
            inspect.StructType(fields=fields)
            | inspect.DataclassType(fields=fields)
            | inspect.NamedTupleType(fields=fields)
            | inspect.TypedDictType(fields=fields)
        ):
            tag = 64 + len(str(getattr(info, "tag", ""))) * 4
            return tag + sum(_encoded(each.encode_name) + _bound(each.type, within) for each in fields)
        case _:
            return _SIZES.get(type(info), math.inf)


def _encoded(value: Any) -> int:
    return len(_ENCODER.encode(value))
