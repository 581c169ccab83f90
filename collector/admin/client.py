"""The other end of the control socket, for commands: blocking, on the standard library alone, hence quick to start."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from collector.errors import CollectorError, ConfigError


class DaemonAbsent(CollectorError):
    """Nobody listens on the socket: the daemon does not run."""


class ControlClient:
    """Asks the daemon behind one socket; a connection per request.

    `timeout`: seconds to wait for an answer, and between two lines of a stream.

    Every method raises:
        ConfigError: the daemon refuses its configuration file.
        DaemonAbsent: no daemon runs.
        CollectorError: it does not answer, or what was asked can't be done; a message for the operator.
    """

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout

    def get(self, verb: str, query: Mapping[str, str | int | None] | None = None) -> Any:
        """The answer's JSON; `verb` such as `/status`, a query value of None is left out."""
        with self._asked("GET", _target(verb, query)) as response:
            return json.loads(response.read())

    def post(self, verb: str, body: Mapping[str, Any] | None = None) -> Any:
        """Likewise, for what changes something."""
        with self._asked("POST", verb, json.dumps(body or {}).encode()) as response:
            return json.loads(response.read())

    def lines(self, verb: str, query: Mapping[str, str | int | None] | None = None) -> Iterator[bytes]:
        """The lines of a stream without their ends, as they come; ends with the daemon."""
        with self._asked("GET", _target(verb, query)) as response:
            while line := response.readline():
                if line != b"\n":
                    yield line.removesuffix(b"\n")

    @contextmanager
    def _asked(self, method: str, target: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        connection = _UnixConnection(self._path, self._timeout)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response.status, response.read())
            yield response
        except TimeoutError as exc:
            raise CollectorError(
                f"the daemon on {self._path} does not answer: {self._timeout:g} s have passed"
            ) from exc
        except PermissionError as exc:
            raise CollectorError(f"{self._path}: permission denied: run this as the daemon's user") from exc
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise DaemonAbsent(f"no daemon answers on {self._path}: is it running with this configuration?") from exc
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise CollectorError(f"no daemon answers on {self._path}: {_reason(exc)}") from exc
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def _target(verb: str, query: Mapping[str, str | int | None] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{verb}?{urlencode(given)}" if given else verb


def _refusal(status: int, body: bytes) -> CollectorError:
    try:
        told = json.loads(body)
        if status == 422:
            return ConfigError([str(problem) for problem in told["problems"]])
        return CollectorError(str(told["error"]))
    except (ValueError, KeyError, TypeError):
        return CollectorError(f"the daemon failed to answer (status {status}): its log says why")


def _reason(exc: Exception) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
