"""Writes `zipf.txt`: when events become visible in a thousand feeds, for two hours. Deterministic.

One line per feed: its number, then its events as tenths of seconds, each as the distance from the one before it. Feeds
differ in activity as ranks do under Zipf's law with s = 1.2; events of a feed come independently of each other.

    python tests/data/activity/make_trace.py
"""

from __future__ import annotations

import random
from pathlib import Path

FEEDS, SECONDS, EVENTS_AN_HOUR, EXPONENT, SEED = 1000, 7200, 6000, 1.2, 20261122
FILE = Path(__file__).with_name("zipf.txt")


def make_trace() -> str:
    chance = random.Random(SEED)
    ranks = list(range(1, FEEDS + 1))
    chance.shuffle(ranks)
    total = sum(rank**-EXPONENT for rank in ranks)
    lines = []
    for feed, rank in enumerate(ranks):
        rate = EVENTS_AN_HOUR / 3600 * rank**-EXPONENT / total
        gaps = _gaps(chance, rate)
        lines.append(" ".join(map(str, [feed, *gaps])))
    return "\n".join(lines) + "\n"


def _gaps(chance: random.Random, rate: float) -> list[int]:
    """Tenths of seconds between the events of one feed, until the time is over."""
    gaps: list[int] = []
    now = last = 0
    while True:
        now = last + round(chance.expovariate(rate) * 10)
        if now > SECONDS * 10:
            return gaps
        gaps.append(now - last)
        last = now


if __name__ == "__main__":
    FILE.write_text(make_trace(), encoding="utf-8")
