"""Did you mean: the nearest of the words a user may have wanted."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word nearest to `word`, None when nothing is near enough to be a typing error."""
    by_lower = {name.lower(): name for name in allowed}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def hint(word: str, allowed: Iterable[str]) -> str:
    """The rest of a message about an unknown word: a guess where there is one, then everything allowed."""
    names = list(allowed)
    guess = did_you_mean(word, names)
    listed = f"allowed: {', '.join(names)}" if names else "nothing is allowed here"
    return f"did you mean {guess}? {listed}" if guess else listed
