"""What generated types are made of: values that may be absent, enums that outlive a newer server, and types that become JSON."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from typing import Any, Callable, ClassVar, Optional, TypeVar

from .errors import ShapeError

__all__ = ["UNSET", "Codec", "Input", "OpenEnum", "Part", "Unset", "Value", "encode", "new_id"]

V = TypeVar("V", bound="Value")


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET = Unset.UNSET
"""Not given: an input field that is left as it is, whereas ``None`` clears it."""


def new_id() -> str:
    """A random id, as a record gets that is made without one."""
    return str(uuid.uuid4())


class OpenEnum(str, enum.Enum):
    """An enum of the schema. A value that this code does not know (a newer server's) survives as a member without a name in
    the class: equal to its text, sent back as it came, ``is_known`` false."""

    @classmethod
    def _missing_(cls, value: object) -> Optional[OpenEnum]:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """Whether this code knows the value."""
        return self._name_ in type(self).__members__

    def __str__(self) -> str:
        return str.__str__(self)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) if isinstance(other, str) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return str.__ne__(self, other) if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return str.__hash__(self)


def encode(value: Any) -> Any:
    """A value as JSON's own types."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (Value, Input)):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {name: encode(item) for name, item in value.items()}
    return value


Codec = Callable[[Any], Any]
"""Makes a value of JSON's own types into one of a generated type."""


class Part:
    """A field of a generated type: its name in the API and in Python, and how JSON is read."""

    __slots__ = ("ident", "name", "read", "required")

    def __init__(self, name: str, ident: str, *, required: bool = False, read: Optional[Codec] = None) -> None:
        self.name = name
        self.ident = ident
        self.required = required
        self.read = read


class Value:
    """A generated type that comes out of answers: a record, an embedded value, an operation's data."""

    _parts: ClassVar[tuple[Part, ...]] = ()

    @classmethod
    def from_json(cls: type[V], given: Any) -> V:
        """Out of JSON's own types. Fields that are not there stay as a new value has them; fields that this code does not
        know are passed over.

        :raises ShapeError: it is no object, lacks a required field, or a value does not fit.
        """
        if not isinstance(given, Mapping):
            raise ShapeError(f"{cls.__name__} is made of an object, not of {type(given).__name__}")
        values: dict[str, Any] = {}
        for part in cls._parts:
            if part.name not in given:
                continue
            value = given[part.name]
            if value is None:
                if part.required:
                    raise ShapeError(f"{cls.__name__}.{part.name} is null; generate the code anew from the schema")
                values[part.ident] = None
                continue
            try:
                values[part.ident] = value if part.read is None else part.read(value)
            except (ValueError, TypeError, AttributeError) as error:
                raise ShapeError(f"{cls.__name__}.{part.name} does not fit: {error}") from error
        try:
            return cls(**values)
        except TypeError as error:
            raise ShapeError(f"{cls.__name__} does not fit: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """As JSON's own types."""
        return {part.name: encode(getattr(self, part.ident)) for part in self._parts}


class Input:
    """A generated input: what is :data:`UNSET` is not sent."""

    _parts: ClassVar[tuple[Part, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON's own types."""
        given = ((part.name, getattr(self, part.ident)) for part in self._parts)
        return {name: encode(value) for name, value in given if value is not UNSET}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The fields that are set, not their values."""
        return f"{type(self).__name__}({', '.join(self.to_json())})"


def list_of(read: Optional[Codec]) -> Codec:
    """Reads a list whose items may be null."""

    def codec(given: Any) -> Any:
        if not isinstance(given, list):
            raise TypeError(f"a list is expected, not {type(given).__name__}")
        return [item if item is None or read is None else read(item) for item in given]

    return codec


def later(of: Callable[[], Codec]) -> Codec:
    """A codec that is named before it is there."""
    return lambda given: of()(given)
