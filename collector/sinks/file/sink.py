"""Events into files, each line once: the sink as the delivery loop sees it.

An event counts as accepted when its line is written and synced, together with the directories of a file that is new.
What a crash leaves behind is put right by the next start from the state (`recovery`). Known limits: who moves a file
away between a crash and the next start takes the unsettled lines in it along, and they are written again; files are for
readers only, other writers' lines in them are left alone as far as they can be told apart.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from pydantic import BaseModel

from collector.errors import SinkUnavailable
from collector.model import Event
from collector.sinks.base import Batch, BatchLimits, Receipt, SinkContext, SinkPlugin
from collector.sinks.file.config import FileConfig
from collector.sinks.file.disk import nearest_directory
from collector.sinks.file.paths import PathTemplate
from collector.sinks.file.rotation import Compressor, Rotation, sweep
from collector.sinks.file.writer import Writer

_T = TypeVar("_T")

_MAX_FILES = 128
# A state has at most 64 KiB: per file its name and three numbers of up to 20 digits with their punctuation.
_STATE_BYTES = 56_000
_NUMBERS_BYTES = 72
_PROBE_BYTES = 4096


class FileSink:
    """One file sink. All I/O runs in one thread of its own, so that a hanging disk holds nobody else."""

    limits: BatchLimits
    max_in_flight = 1

    def __init__(self, config: FileConfig, context: SinkContext) -> None:
        self._template = PathTemplate(config.path)
        rotate = config.rotate
        self._rotation = Rotation(rotate.max_size, rotate.every, compress=rotate.compress == "gzip")
        self._compressor = Compressor()
        self._writer = Writer(
            self._template,
            mode=config.mode,
            rotation=self._rotation,
            now=context.clock.now,
            rotated=self._after_rotation,
        )
        files = _STATE_BYTES // (self._template.longest + _NUMBERS_BYTES)
        self.limits = BatchLimits(max_destinations=max(1, min(_MAX_FILES, files)))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"file-{context.name}")
        self._prepared: Batch | None = None
        self._failed = False

    def partition(self, event: Event) -> str:
        return self._template.render(event)

    async def recover(self, state: bytes | None) -> None:
        """Put right what the last run left unfinished.

        Raises:
            SinkUnavailable: the disk did not let us.
            SinkDenied: the state can't be understood.
        """
        if state is not None:
            await self._run(lambda: self._writer.recover(state))
        if self._rotation.is_on:
            left = await self._run(lambda: sweep(self._template))
            for path in left:
                self._after_rotation(path)

    async def prepare(self, batch: Batch) -> bytes:
        self._prepared = None
        state = await self._run(lambda: self._writer.prepare(batch))
        self._prepared = batch
        return state

    async def deliver(self, batch: Batch) -> Receipt:
        if self._prepared is not batch:
            raise RuntimeError("a batch must be prepared, and its intent stored, before it is delivered")
        self._prepared = None
        return Receipt(state=await self._run(lambda: self._writer.deliver(batch)))

    async def probe(self) -> None:
        await self._run(lambda: _probe(self._template.base), harmless=True)

    async def close(self) -> None:
        """Wait for the threads: whoever opens this sink next must find its files at rest.

        A cancellation in the meantime is passed on when they have ended.
        """
        closing = ThreadPoolExecutor(1, thread_name_prefix="close")
        ended = asyncio.wrap_future(closing.submit(self._end_threads))
        closing.shutdown(wait=False)
        cancelled: asyncio.CancelledError | None = None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            raise cancelled

    def _end_threads(self) -> None:
        self._compressor.close()
        self._thread.shutdown()
        self._writer.close()

    def _after_rotation(self, path: str) -> None:
        if self._rotation.compress:
            self._compressor.add(path)

    async def _run(self, call: Callable[[], _T], *, harmless: bool = False) -> _T:
        """Run in the sink's thread. After a failure, also a cancellation, nothing is known of the files any more."""
        if self._failed:
            raise SinkUnavailable("an earlier write failed: the sink must be opened again")
        self._failed = not harmless
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except OSError as exc:
            raise SinkUnavailable(f"can't write {exc.filename or self._template.base}: {exc.strerror or exc}") from exc
        self._failed = False
        return result


def _probe(base: str) -> None:
    with tempfile.TemporaryFile(dir=nearest_directory(base)) as file:  # has no name where the system allows it
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


@asynccontextmanager
async def _opened(config: FileConfig, context: SinkContext, state: bytes | None) -> AsyncIterator[FileSink]:
    sink = FileSink(config, context)
    try:
        await sink.recover(state)
        yield sink
    finally:
        await sink.close()


def open_file_sink(
    config: BaseModel, context: SinkContext, state: bytes | None
) -> AbstractAsyncContextManager[FileSink]:
    """Open the sink; entering raises `SinkUnavailable` when the disk refuses, `SinkDenied` for a damaged state."""
    if not isinstance(config, FileConfig):
        raise TypeError(f"expected FileConfig, got {type(config).__name__}")
    return _opened(config, context, state)


def conflict_key(config: FileConfig) -> str:
    """Two sinks with the same key write the same files, which neither can then keep in order."""
    return PathTemplate(config.path).canonical


PLUGIN = SinkPlugin(config=FileConfig, open=open_file_sink)
