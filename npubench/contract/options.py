"""Read a backend's options from plain values: strict types, no unknown key, no guessing."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


class OptionError(ValueError):
    """An option is unknown or of the wrong type. The text names the key and the nearest valid one."""


@dataclasses.dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a backend that has none."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` or the list of what is valid, for the end of an error sentence."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; valid are: {', '.join(names)}" if names else "; there are none here"


def parse_options(cls: type, values: Mapping[str, Any], where: str = "options") -> Any:
    """Build the frozen dataclass ``cls`` from TOML or JSON values.

    Args:
        cls: A backend's ``Options``.
        values: Key → value. ``int`` is taken for ``float`` fields; nothing else is converted.
        where: What the error text calls this place, such as ``"target 'x': options"``.

    Raises:
        OptionError: An unknown key, a missing key without default, or a value of another type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise OptionError(f"{where}: unknown key '{key}'{nearest(key, fields)}")
    read: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            read[name] = _value(hints[name], values[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{where}: key '{name}' is missing")
    try:
        return cls(**read)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` if it is of the type ``hint``, else raise."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for choice in arguments:
            try:
                return _value(choice, value, where)
            except OptionError:
                continue
        raise OptionError(f"{where}: {value!r} is not one of {' | '.join(_name(a) for a in arguments)}")
    if origin is typing.Literal:
        if any(type(value) is type(a) and value == a for a in arguments):
            return value
        raise OptionError(f"{where}: {value!r} is not valid{nearest(str(value), [str(a) for a in arguments])}")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(arguments[0], item, where) for item in value)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {_value(arguments[0], k, where): _value(arguments[1], v, where) for k, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is type(None):
        if value is None:
            return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise OptionError(f"{where}: {value!r} is not of type {_name(hint)}")


def _name(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
