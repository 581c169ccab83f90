"""What arrived as CEF, judged by the name each event carries and not with the program's own encoder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from collector.simulator.oracle import Verdict

# In a value the equals sign is escaped, so that no text of an event can look like this key.
_LINE = re.compile(rb"CEF:0(?:\|(?:[^|\\]|\\.)*){6}\|(?:[^ ]* )*?externalId=([0-9a-f]{32})(?: [^\r\n]*)?\n")


class _Uid(msgspec.Struct):
    uid: str


_decoder = msgspec.json.Decoder(_Uid)


def judge_cef(lines: Iterable[tuple[Path, bytes]], envelopes: Iterable[tuple[Path, bytes]]) -> Verdict:
    """Compare lines of CEF with lines of the `json` format: every event of those must be there once."""
    verdict = Verdict()
    seen: Counter[str] = Counter()
    for path, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            verdict.torn.append(f"{path}: {line[:80]!r}")
        else:
            seen[match[1].decode()] += 1
    uids = {_decoder.decode(line).uid for _, line in envelopes if line.endswith(b"\n")}
    verdict.events = sum(seen.values())
    verdict.missing = sorted(uids - seen.keys())
    verdict.strange = sorted(seen.keys() - uids)
    verdict.doubled = [uid for uid, count in seen.items() if count > 1]
    return verdict
