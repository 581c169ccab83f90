"""The program, broken in one line, in a copy: the named tests must fail, or they prove nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutation:
    """`line` stands once in `file`, `broken` takes its place; `tests` must notice."""

    name: str
    file: str
    line: str
    broken: str
    tests: tuple[str, ...]


_KILLS = "tests/e2e/test_fault_points.py::test_kill_at_the_point_loses_and_doubles_nothing"
_TROUBLE = "tests/e2e/test_vendor_trouble.py::test_"
_DETECTIONS = "tests/e2e/test_eset_detections.py::test_"
_STRANGE = "tests/unit/sources/eset/test_detections_strange_vendor.py::test_"
_INCIDENTS = "tests/e2e/test_incidents.py::test_"
_JOINED = f"{_INCIDENTS}detection_that_joins_an_eset_incident_unseen_makes_a_new_event[old]"

MUTATIONS = (
    Mutation(
        "checkpoint before records",
        "collector/pipeline/poller.py",
        "        committed = await self._store.commit_page(self._stream, lane, page)\n",
        "        await self._store.set_checkpoint(self._stream, lane, page.checkpoint)\n"
        "        committed = await self._store.commit_page(self._stream, lane, page)\n",
        (f"{_KILLS}[commit.before]",),
    ),
    Mutation(
        "dedup skipped",
        "collector/store/writing.py",
        "        if digest in new:\n",
        "        if digest:\n",
        (f"{_TROUBLE}records_served_again_with_changed_times_and_flags_arrive_once",),
    ),
    Mutation(
        "cursor before write",
        "collector/pipeline/delivery.py",
        "        waiting = list(range(len(plan.batch)))\n",
        "        waiting = list(range(len(plan.batch)))\n        await self._books.settle(plan.end)\n",
        (f"{_KILLS}[write.after]", f"{_KILLS}[format.after]"),
    ),
    Mutation(
        "no cut of the torn tail",
        "collector/sinks/file/recovery.py",
        "        cut(fd, extent.size + len(whole))\n",
        "        pass\n",
        ("tests/unit/sinks/test_file_recovery.py",),
    ),
    Mutation(
        "no cut of lines that differ",
        "collector/sinks/file/writer.py",
        "            os.ftruncate(part.fd, part.size + part.kept)\n",
        "            pass\n",
        ("tests/unit/sinks/test_file.py",),
    ),
    Mutation(
        "exclusive start",
        "collector/sources/withsecure/security_events.py",
        '            ("persistenceTimestampStart", format_utc(ask.start)),\n',
        '            ("persistenceTimestampStart", format_utc(ask.start)),\n            ("exclusiveStart", "true"),\n',
        ("tests/contract/test_sources.py", "tests/unit/sources/withsecure/test_security_events.py"),
    ),
    Mutation(
        "sweep off",
        "collector/app/reading.py",
        '        lanes.append(self._timetable.add("sweep", poller.sweep))\n',
        "        del poller, lanes\n",
        (f"{_TROUBLE}event_that_shows_up_nine_minutes_after_its_stamp_arrives_once",),
    ),
    Mutation(
        "new delta token without the lists before it",
        "collector/sources/eset/delta.py",
        "        track = wanted(track, progress, read_until, bounds)\n",
        "        del read_until\n",
        (f"{_DETECTIONS}delta_that_ended_while_nobody_looked_costs_nothing[token dead]",),
    ),
    Mutation(
        "deltas given up without the lists before",
        "collector/sources/eset/delta.py",
        "        track = wanted(track, progress, track.taken_at, bounds)\n",
        "        pass\n",
        (f"{_DETECTIONS}delta_that_ended_while_nobody_looked_costs_nothing[deltas over]",),
    ),
    Mutation(
        "lists without the page token",
        "collector/sources/eset/walks.py",
        '        query.append(("pageToken", run.token))\n',
        "        pass\n",
        (f"{_STRANGE}what_lies_ahead_is_not_read_alone_before_a_long_window_is_halved",),
    ),
    Mutation(
        "deltas without the page token",
        "collector/sources/eset/deltas.py",
        '            query.append(("pageToken", following.page_token))\n',
        "            pass\n",
        (f"{_STRANGE}a_delta_token_on_a_page_ahead_of_the_last_is_not_followed",),
    ),
    Mutation(
        "step of a search lost",
        "collector/sources/eset/walks.py",
        "            self._instead[asking.key] = round_of(asking.at).of(asking.version), progress\n",
        "            pass\n",
        (f"{_STRANGE}an_unreadable_record_is_found_after_an_outage_that_came_in_mid_search",),
    ),
    Mutation(
        "lists end now",
        "collector/sources/eset/detections.py",
        "            reach=walking.CENTURY,\n",
        "",
        (f"{_DETECTIONS}detections_stamped_in_the_future_arrive_without_deltas",),
    ),
    Mutation(
        "incident's state without its members",
        "collector/sources/eset/incident_record.py",
        '        *(_sorted(fields.get(key)) for key in ("deviceUuids", "detectionUuids")),\n',
        "",
        (_JOINED,),
    ),
    Mutation(
        "open incidents not read again",
        "collector/sources/eset/open_incidents.py",
        "        return _write(state, _State(due=now + self._every, going=_Pass(since=since, tip=now))), True\n",
        "        return state, False\n",
        (_JOINED,),
    ),
    Mutation(
        "incident's detections not read",
        "collector/sources/withsecure/incidents.py",
        "        at, gaps = _noted(at, records)\n",
        "        gaps: Sequence[Gap] = ()\n",
        (f"{_INCIDENTS}every_state_of_a_withsecure_incident_arrives_once_with_its_detections",),
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_broken_program_is_noticed(tmp_path: Path, mutation: Mutation) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("collector", "tests"):
        shutil.copytree(_ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / mutation.file
    text = file.read_text()
    assert text.count(mutation.line) == 1, f"{mutation.file} has changed: the mutation must follow"
    file.write_text(text.replace(mutation.line, mutation.broken))

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *mutation.tests]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )

    assert result.returncode == 1, result.stdout[-3000:] + result.stderr[-2000:]
    assert "failed" in result.stdout.splitlines()[-1]
