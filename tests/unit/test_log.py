from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from collector import log

CANARY = "canary-6f1d0c"


@pytest.fixture
def stream() -> io.StringIO:
    log.hide(CANARY)
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    log.configure("info", "auto", stream)
    when = datetime(2026, 11, 22, tzinfo=UTC)

    structlog.get_logger().warning("sink unavailable", sink="archive", retry_in=2.0, since=when, error="a\nb")

    [line] = lines(stream)
    assert list(line)[:3] == ["time", "level", "message"]
    assert (line["level"], line["message"], line["sink"], line["retry_in"]) == (
        "warning",
        "sink unavailable",
        "archive",
        2.0,
    )
    assert line["since"] == "2026-11-22T00:00:00+00:00"
    assert line["error"] == "a\nb"


def test_line_of_a_library_goes_the_same_way(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)

    logging.getLogger("some.library").warning("sent %s", {"Authorization": f"Bearer {CANARY}"})

    [line] = lines(stream)
    assert line["logger"] == "some.library"
    assert CANARY not in stream.getvalue()


def test_terminal_gets_lines_for_people(stream: io.StringIO) -> None:
    terminal = Terminal()
    log.configure("info", "auto", terminal)

    structlog.get_logger().info("started", version="1", password="hunter2", answer="\x1b[2Jcleared")

    text = terminal.getvalue()
    assert "started" in text
    assert not text.startswith("{")
    assert "hunter2" not in text
    assert "\x1b[2J" not in text


def test_level_is_that_of_the_configuration_and_can_change(stream: io.StringIO) -> None:
    log.configure("warning", "json", stream)
    logger = structlog.get_logger().bind(sink="a")
    logger.info("unseen")
    logging.getLogger("library").info("unseen")

    log.configure("debug", "json", stream)
    logger.debug("seen")

    assert [line["message"] for line in lines(stream)] == ["seen"]


def test_context_of_the_task_stands_in_its_lines(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)

    with structlog.contextvars.bound_contextvars(tenant="acme"):
        structlog.get_logger().info("polled")

    assert lines(stream)[0]["tenant"] == "acme"


@pytest.mark.parametrize("form", ["json", "console"])
def test_traceback_is_redacted_and_without_locals(form: log.Format, stream: io.StringIO) -> None:
    log.configure("info", form, stream)
    local = str(2**64)

    try:
        int(f"refused {CANARY}" if local else "")
    except ValueError:
        structlog.get_logger().exception("failed")

    text = stream.getvalue()
    assert "ValueError" in text
    assert "Traceback" in text
    assert CANARY not in text
    assert local not in text


def test_line_with_masked_fields_is_still_json(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)
    headers = {"Authorization": f'Basic {CANARY}"\\', "token": 4711, "inner": {"password": None, "next": CANARY}}

    structlog.get_logger().info("sent", headers=headers, text=json.dumps(headers), secret=CANARY)

    [line] = lines(stream)
    assert line["headers"] == {"Authorization": "***", "token": "***", "inner": {"password": "***", "next": "***"}}
    assert line["secret"] == "***"
    assert CANARY not in stream.getvalue()


def test_values_json_can_not_hold_are_written_all_the_same(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)

    structlog.get_logger().info(
        "odd", surrogate="\ud800", big=1 << 70, thing=object(), raw=b"\xff", number=float("nan")
    )

    [line] = lines(stream)
    assert line["big"] == 1 << 70


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError(CANARY)

    __str__ = __repr__


def test_logging_never_raises(stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json", stream)

    logging.getLogger("library").error("%s and %s", CANARY)  # noqa: PLE1206 -- a library's mistake
    logging.getLogger("library").error("%s", Unprintable())
    structlog.get_logger().info("still here")

    assert lines(stream)[-1]["message"] == "still here"
    assert CANARY not in stream.getvalue() + "".join(capfd.readouterr())


def test_closed_pipe_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    log.configure("info", "json", Closed())

    structlog.get_logger().error("nobody reads", secret=CANARY)

    assert capfd.readouterr() == ("", "")


def test_crash_of_the_program_is_redacted() -> None:
    program = f"""
from collector import log
log.hide({CANARY!r}); log.configure()
raise ValueError("was " + "-".join(["canary", "6f1d0c"]))
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert json.loads(done.stderr)["message"] == "crashed"
    assert "ValueError" in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_crash_of_a_thread_is_redacted(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)

    thread = threading.Thread(target=lambda: int(CANARY), name="writer")
    thread.start()
    thread.join()

    [line] = lines(stream)
    assert (line["message"], line["thread"]) == ("a thread crashed", "writer")
    assert CANARY not in stream.getvalue()


def test_exception_in_a_finalizer_is_redacted(stream: io.StringIO) -> None:
    class Finalized:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    log.configure("info", "json", stream)

    Finalized()

    assert "nobody could catch" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_what_asyncio_reports_is_redacted(stream: io.StringIO) -> None:
    log.configure("info", "json", stream)
    loop = asyncio.new_event_loop()

    loop.call_exception_handler({"message": f"lost {CANARY}", "exception": ValueError(CANARY)})
    loop.close()

    assert [line["logger"] for line in lines(stream)] == ["asyncio"]
    assert CANARY not in stream.getvalue()


@pytest.mark.filterwarnings("default")
def test_warning_is_redacted(stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        log.configure("info", "json", stream)
        warnings.simplefilter("always")

        warnings.warn(f"old {CANARY}", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    assert lines(stream)[0]["logger"] == "py.warnings"
    assert CANARY not in stream.getvalue() + "".join(capfd.readouterr())
