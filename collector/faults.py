"""Named points at which a test may kill the process.

`EDR_COLLECTOR_FAULT=settle.before:3` kills the process with SIGKILL the third time it passes `settle.before`.
Without that variable at start-up a point costs one comparison; nothing else can arm it.
"""

from __future__ import annotations

import os
import signal

POINTS = frozenset(
    {
        "fetch.after",
        "commit.before",
        "commit.after",
        "position.before",
        "position.after",
        "format.after",
        "write.after",
        "fsync.before",
        "fsync.after",
        "settle.before",
        "settle.after",
        "rotate.before",
        "rotate.renamed",
        "rotate.compressed",
        "prune.before",
        "prune.inside",
        "prune.after",
    }
)

_armed, _, _count = os.environ.get("EDR_COLLECTOR_FAULT", "").partition(":")
_left = int(_count) if _count.isdigit() else 1


def point(name: str) -> None:
    """Die here, without any clean-up, if a test armed this point; `name` is one of `POINTS`."""
    if name != _armed:
        return
    global _left  # noqa: PLW0603 -- the countdown of a process that is about to be killed
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
