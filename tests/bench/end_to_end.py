"""The collector itself: HTTP to durable to a file sink, in this process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import yaml

from collector.app import run_once
from collector.config import load_config


def events_per_second(base_url: str, events: int, folder: Path, form: str) -> float:
    """Fetch everything, deliver everything; the sweep that follows a catch-up is part of it."""
    config = folder / "collector.yaml"
    source = {
        "type": "withsecure",
        "client_id": "bench",
        "client_secret": "bench",
        "feeds": ["security_events"],
        "base_url": base_url,
        "rate_limit": {"requests": 1_000_000, "per": "1s"},
        "sweep": {"every": "1m", "window": "2m"},
    }
    document = {
        "state": {"path": "state.db"},
        "admin": {"listen": None},
        "tenants": {"bench": {"sources": [source]}},
        "sinks": {"out": {"type": "file", "path": "out.ndjson", "format": form}},
    }
    config.write_text(yaml.safe_dump(document))
    loaded = load_config(config)
    began = time.perf_counter()
    good = asyncio.run(run_once(loaded, 60.0))
    seconds = time.perf_counter() - began
    delivered = sum(1 for _ in (folder / "out.ndjson").open("rb"))
    if not good or delivered != events:
        raise SystemExit(f"the run was not complete: {delivered} of {events} events")
    return events / seconds
