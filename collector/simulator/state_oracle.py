"""Compares delivered incidents with the states that the vendor's incidents had: the judge of what changes.

No reader sees every state, as changes come between two polls. What it owes: only states that there were, none twice,
and of each incident the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from collector.simulator.oracle import Verdict, parse_line

States = Mapping[str, Sequence[Mapping[str, Any]]]
"""By incident id its states, oldest first: `raw`, the bytes, and `comments`, their ids, if it has such."""


def judge_states(report: States, lines: Iterable[tuple[Path, bytes]]) -> Verdict:
    """Compare lines of the `json` format, incidents alone, with every state there was.

    A state's comments are no part of `raw`: which ones came with it is told by their ids, wherever in the line.
    """
    verdict = Verdict()
    seen: Counter[tuple[str, bytes, frozenset[str]]] = Counter()
    for path, line in lines:
        event = parse_line(line)
        if event is None:
            verdict.torn.append(f"{path}: {line[:80]!r}")
            continue
        verdict.events += 1
        states = report.get(event.id)
        if states is None:
            verdict.strange.append(event.id)
        elif event.raw in {state["raw"] for state in states} or event.repaired:
            known = {comment for state in states for comment in state.get("comments", ())}
            seen[event.id, event.raw, frozenset(comment for comment in known if comment.encode() in line)] += 1
        else:
            verdict.altered.append(event.id)
    verdict.doubled = [key for (key, _, _), count in seen.items() if count > 1]
    verdict.missing = [
        key
        for key, states in report.items()
        if (key, states[-1]["raw"], frozenset(states[-1].get("comments", ()))) not in seen
    ]
    return verdict
