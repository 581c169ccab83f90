"""The bodies of list answers: spliced from the records' own bytes, in the forms a last or empty page may have.

The last page's `nextPageToken` is empty or absent, of an empty result the list is empty, null or absent [SPEC, ELASTIC,
CLIENT]: which one is drawn anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import orjson


def write_list(name: str, rows: Sequence[bytes], token: str, rng: Random, *, more: bytes = b"") -> bytes:
    """The body of a page; `more` is JSON of further members."""
    key = name.encode()
    parts: list[bytes] = []
    if rows:
        parts.append(b'"%s":[%s]' % (key, b",".join(rows)))
    else:
        parts += rng.choice(([b'"%s":[]' % key], [b'"%s":null' % key], []))
    if token:
        parts.append(b'"nextPageToken":%s' % orjson.dumps(token))
    else:
        parts += rng.choice(([b'"nextPageToken":""'], [b'"nextPageToken":null'], []))
    if more:
        parts.append(more)
    return b"{" + b",".join(parts) + b"}"


def garbage(name: str, rows: Sequence[bytes], bad: int) -> bytes:
    """The page up to the middle of that row, where it turns into noise."""
    whole = [*rows[:bad], rows[bad][: len(rows[bad]) // 2] + b'\xff\x00"}}<<']
    return b'{"%s":[' % name.encode() + b",".join(whole)
