"""A simulated ESET Connect for the real daemon: its accounts, and how their sources are configured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from collector.simulator.eset import DetectionMix, EsetAccount, EsetSimulator
from tests.e2e.harness import SECRET, Setup, SourceKind

# Nobody waits nine minutes for a test.
QUICK = DetectionMix(late_seconds=(0.5, 3.0))
PUNCTUAL = DetectionMix(late=0.0, future=0.0)


def api_user(number: int) -> EsetAccount:
    """The n-th customer's API user, of a company of its own."""
    return EsetAccount(f"api{number}@company.example", SECRET.format(number), f"Company {number} Ltd")


def eset_simulator(tenants: int = 1, *, requests: int = 100_000, seed: int = 1) -> EsetSimulator:
    """A vendor with that many customers; generous unless the test is about limits."""
    return EsetSimulator([api_user(number) for number in range(tenants)], seed=seed, requests=requests)


def _keys(feed: str, number: int, base_url: str) -> dict[str, Any]:
    return {
        "type": "eset",
        "feeds": [feed],
        "auth_url": base_url,
        "incident_url": base_url,
        "device_url": base_url,
        "username": api_user(number).username,
        "password": f"${{env:SECRET_{number}}}",
        "poll_interval": "500ms",
        "overlap": "10m",
        "sweep": {"every": "3s", "window": "14d"},
        "start_from": "15d",
        "rate_limit": {"requests": 100_000, "per": "60s"},
    }


def _kind(feed: str) -> SourceKind:
    return SourceKind(partial(_keys, feed), lambda number: api_user(number).password)


# As `Setup`, with sources of one feed each.
detections_setup: Callable[..., Setup] = partial(Setup, kind=_kind("detections"))
incidents_setup: Callable[..., Setup] = partial(Setup, kind=_kind("incidents"))


def broken_rules(vendor: EsetSimulator) -> list[str]:
    """What of the vendor's rules was broken, less what follows from a SIGKILL.

    Between the answer and its commit the checkpoint still holds the id of an answer that was pending.
    """
    return [rule for rule in vendor.violations if not rule.startswith("response id sent after its answer")]
