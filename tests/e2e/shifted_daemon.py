"""`python shifted_daemon.py OFFSET_FILE ARGUMENTS...`: the `collector` command on a host whose clock is wrong.

The file holds seconds; it is read at each look at the clock, so that the clock can jump while the daemon runs.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.cli import main
from collector.clock import Clock


def shift(offset: Path) -> None:
    """Make this process's clock wrong."""

    def now(_self: Clock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(offset.read_text() or 0))

    setattr(Clock, "now", now)  # noqa: B010 -- the one door to the host's clock


if __name__ == "__main__":
    shift(Path(sys.argv[1]))
    raise SystemExit(main(sys.argv[2:]))
