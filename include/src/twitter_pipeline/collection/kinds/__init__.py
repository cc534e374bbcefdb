"""The kinds of rules: each file here is one, found by its name. A new kind is a new file and nothing else."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from twitter_pipeline.collection.kind import Kind, Spec


class UnknownKind(LookupError):
    """The rule is of a kind that this version does not know; a newer one made it."""


def _found() -> dict[str, Kind]:
    modules = sorted(module.name for module in iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").KIND for name in modules}


KINDS: Mapping[str, Kind] = _found()
"""All kinds by name, in the order in which messages and lists name them."""


def kind_of(name: str) -> Kind:
    """The kind of a name. Raises UnknownKind."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKind(
            f"there is no kind of rule {name!r} in this version; it knows {', '.join(KINDS)}"
        ) from None


def fields_of(name: str, spec: Spec) -> dict[str, str | list[str] | None]:
    """The field of every kind with what a rule holds in it: None in all but its own. Never raises."""
    return {kind.field: kind.value(spec) if kind.name == name else None for kind in KINDS.values()}


def shown(name: str, spec: Spec) -> str:
    """What a rule asks for, in one line for a person; also of a kind that a newer version knows."""
    return KINDS[name].shown(spec) if name in KINDS else f"{name} {dict(spec)}"
