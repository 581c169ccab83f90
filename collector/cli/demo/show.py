"""What the demo shows: progress on a terminal, a summary everywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from collector.cli.demo.vendors import STRANGER

if TYPE_CHECKING:
    from collector.cli.demo.play import Score


class Show:
    """A progress bar while the demo runs; silent where there is no terminal."""

    def __init__(self, expected: int) -> None:
        self._console = Console()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("events fetched", total=expected, note="starting the daemon")
        if not self._console.is_terminal:
            print(
                f"running the daemon against two simulated vendors with {expected:,} events and faults ...", flush=True
            )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, visible: int, score: Score, faults: Counter[str], status: dict[str, Any]) -> None:
        """Show the newest numbers."""
        waiting = sum(sink["backlog_events"] for sink in status["sinks"])
        note = f"{score.duplicates:,} duplicates absorbed · {sum(faults.values())} faults · {waiting:,} to deliver"
        if score.kills:
            note += " · killed once"
        self._progress.update(self._task, completed=score.fetched, total=visible, note=note)


def summarize(score: Score, folder: Path) -> None:
    """Print what came of it."""
    verdict = score.verdict
    table = Table(title="collector demo", show_header=False, title_justify="left")
    table.add_row("events at the vendors", f"{score.at_vendor:,}, and incidents that change")
    table.add_row("in the log", f"{score.fetched:,}")
    for sink, count in score.delivered.items():
        table.add_row(f"delivered to {sink}", f"{count:,}")
    table.add_row("missing", f"{len(verdict.missing):,}")
    table.add_row("double", f"{len(verdict.doubled):,}")
    table.add_row("altered, strange or torn", f"{len(verdict.altered) + len(verdict.strange) + len(verdict.torn):,}")
    table.add_row("duplicates absorbed", f"{score.duplicates:,}")
    table.add_row("faults survived", f"{sum(score.faults.values()):,} of {len(score.faults)} kinds")
    table.add_row("daemon killed (SIGKILL)", f"{score.kills}")
    for limit, most in score.requests.items():
        table.add_row(f"requests to {limit}", f"{most} allowed")
    table.add_row("vendors' rules broken", f"{len(score.violations)}")
    table.add_row(f"{STRANGER}, wrong credentials", ", ".join(score.stranger) or "no word of it")
    rate = score.at_vendor / score.seconds if score.seconds else 0.0
    table.add_row("time", f"{score.seconds:.1f} s, {rate:,.0f} events/s (the vendors' rate limits decide)")
    Console().print(table)
    print(f"files:  {folder}/events/TENANT/DATE.ndjson  {folder}/cef/TENANT.cef")
    print(f"log:    {folder}/daemon.log")
    if score.told:
        print(f"{STRANGER}: {score.told}")
    for title, ids in (
        ("missing", verdict.missing),
        ("double", verdict.doubled),
        ("altered", verdict.altered),
        ("strange", verdict.strange),
        ("torn", verdict.torn),
        ("rule broken", score.violations),
    ):
        for name in ids[:5]:
            print(f"{title}: {name}")
    print(_conclusion(score))


def _conclusion(score: Score) -> str:
    if score.good:
        return f"every event of the other tenants arrived once; {STRANGER} was told that its credentials are refused"
    return "FAILED: see above"
