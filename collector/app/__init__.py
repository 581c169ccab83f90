"""The composition root: configuration in, running daemon out."""

from collector.app.dry_run import dry_run
from collector.app.engine import DRAIN_SECONDS, run, run_once

__all__ = ["DRAIN_SECONDS", "dry_run", "run", "run_once"]
