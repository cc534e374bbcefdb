"""Read an object of X field by field if it does not fit its type as a whole.

Archives written by R, PHP and spreadsheets hold `{}`, `[]` and "" for missing values, numbers as text and nulls in
lists; an emulator or a changed X may put anything anywhere. A missing value is absent; a value that does not fit is null
and counted; neither affects other fields.
"""

import types
import typing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T", bound=msgspec.Struct)


@dataclass
class Misfits:
    """What did not fit: counts by field (`counted`), and the fields of which nothing could be read (`unread`)."""

    counted: Counter[str] = field(default_factory=Counter)
    unread: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        """Count a value of which nothing could be read."""
        self.counted[name] += 1
        self.unread.add(name)


_Reader = Callable[[Any, str, Misfits], Any]


def is_absent(value: Any) -> bool:
    """Whether a value is one that writers use for "nothing" in place of an object or a list."""
    return value is None or value == {} or value == []


def read_struct(value: dict[str, Any], kind: type[_T], misfits: Misfits, within: str | None = None) -> _T:
    """Build a struct from what fits. Misfits are counted under their own name, or under the list they are in."""
    fitting = {}
    for name, reader in _readers(kind):
        if not is_absent(stated := value.get(name)):
            fitting[name] = reader(stated, within or name, misfits)
    return kind(**fitting)


@cache
def _readers(kind: type[msgspec.Struct]) -> list[tuple[str, _Reader]]:
    return [(name, _reader(hint)) for name, hint in typing.get_type_hints(kind).items()]


def _reader(hint: Any) -> _Reader:
    """The reader for one declared type: a value that fits, or None and a misfit."""
    kinds = {
        k for k in (hint.__args__ if isinstance(hint, types.UnionType) else (hint,)) if k is not type(None)
    }
    if kinds == {str, int}:
        return _read_id
    (kind,) = kinds
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        of_structs = isinstance(item, type) and issubclass(item, msgspec.Struct)
        return _list_reader(_struct_reader(item, in_list=True) if of_structs else _reader(item))
    if issubclass(kind, msgspec.Struct):
        return _struct_reader(kind)
    return _scalar_reader(kind)


def _read_id(value: Any, name: str, misfits: Misfits) -> str | int | None:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return None if value == "" else value
    misfits.add(name)
    return None


def _scalar_reader(kind: type) -> _Reader:
    def read(value: Any, name: str, misfits: Misfits) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            misfits.add(name)
            return None

    return read


def _struct_reader(kind: type[msgspec.Struct], *, in_list: bool = False) -> _Reader:
    def read(value: Any, name: str, misfits: Misfits) -> msgspec.Struct | None:
        if isinstance(value, dict):
            return read_struct(value, kind, misfits, name if in_list else None)
        if value != "":
            misfits.add(name)
        return None

    return read


def _list_reader(read_item: _Reader) -> _Reader:
    def read(value: Any, name: str, misfits: Misfits) -> list[Any] | None:
        if not isinstance(value, list):
            if value != "":
                misfits.add(name)
            return None
        of_items = Misfits(misfits.counted)
        found = [read_item(item, name, of_items) for item in value if not is_absent(item)]
        return [item for item in found if item is not None]

    return read
