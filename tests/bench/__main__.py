"""`make bench`: interleaved rounds, medians, ratios to the floor. Absolute figures are this machine's alone.

python -m tests.bench [ROUNDS] [PAGES]
"""

from __future__ import annotations

import json
import logging
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import end_to_end, floor
from tests.bench.vendor import PAGE, make_pages


def main(rounds: int, count: int) -> None:
    """Measure and print the table."""
    logging.disable(logging.WARNING)
    pages = make_pages(count, datetime.now(UTC))
    vendor = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.vendor", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert vendor.stdout is not None
        base_url = json.loads(vendor.stdout.readline())["base_url"]
        events = count * PAGE
        contestants: dict[str, Callable[[Path], float]] = {
            "floor": lambda folder: floor.events_per_second(pages, folder),
            "end to end, file raw": lambda folder: end_to_end.events_per_second(base_url, events, folder, "raw"),
            "end to end, file json": lambda folder: end_to_end.events_per_second(base_url, events, folder, "json"),
        }
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, contestant in contestants.items():
                with tempfile.TemporaryDirectory() as folder:
                    rates[name].append(contestant(Path(folder)))
    finally:
        vendor.kill()
        vendor.wait()
    _print(rates, sum(map(len, pages)) / events)


def _print(rates: dict[str, list[float]], event_bytes: float) -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, {event_bytes:.0f} bytes an event")
    bottom = statistics.median(rates["floor"])
    print(f"{'':24}{'events/s':>12}{'spread':>10}{'of floor':>10}")
    for name, found in rates.items():
        middle = statistics.median(found)
        spread = (max(found) - min(found)) / middle
        print(f"{name:24}{middle:12,.0f}{spread:10.0%}{middle / bottom:10.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, int(sys.argv[2]) if len(sys.argv) > 2 else 100)
