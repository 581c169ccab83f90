"""What pydantic found, in words for whoever wrote the file: what is wrong and what is allowed.

No message repeats the value: it may be a secret in the wrong place. (Duration and size say theirs; the loader
strikes out what came by reference.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from collector.suggest import did_you_mean

_TYPES = {
    "string_type": "must be text; put it in quotes",
    "path_type": "must be a path",
    "model_type": "must be a mapping, one `key: value` a line",
    "dict_type": "must be a mapping, one `key: value` a line",
    "mapping_type": "must be a mapping, one `key: value` a line",
    "list_type": "must be a list, such as [one, two]",
    "tuple_type": "must be a list, such as [one, two]",
    "set_type": "must be a list, such as [one, two]",
    "string_too_short": "must not be empty",
}

_BOUNDS: Mapping[str, str] = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "must match {pattern}",
}


_FAMILIES = {"int": "must be a whole number", "float": "must be a number", "bool": "must be true or false"}


def explain(error: ErrorDetails, wrong: Any) -> str:
    """One message for one error, `wrong` being what stands there."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _SPECIAL:
        return _SPECIAL[kind](error, wrong)
    if kind in _TYPES:
        return _TYPES[kind] if wrong is not None else f"{_TYPES[kind].partition(';')[0]}, not null"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format_map(context)
    family = _FAMILIES.get(kind.partition("_")[0])
    return family or error["msg"].removeprefix("Value error, ")


def _wrong_word(error: ErrorDetails, wrong: Any) -> str:
    expected = error["ctx"]["expected"].replace("'", "")
    guess = did_you_mean(str(wrong), expected.replace(" or ", ", ").split(", "))
    return f"must be {expected}" + (f"; did you mean {guess}?" if guess else "")


def _too_short(error: ErrorDetails, _wrong: Any) -> str:
    least = error["ctx"]["min_length"]
    return "must not be empty" if least == 1 else f"must be at least {least} long"


_SPECIAL: Mapping[str, Callable[[ErrorDetails, Any], str]] = {
    "literal_error": _wrong_word,
    "enum": _wrong_word,
    "too_short": _too_short,
}
