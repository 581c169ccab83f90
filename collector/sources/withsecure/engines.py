"""Which engine an event is of: all tables in one, by the engine's name in whatever case."""

from __future__ import annotations

from dataclasses import dataclass

from collector.sources.withsecure.cloud_engines import CLOUD_ENGINES, UNKNOWN_RULES
from collector.sources.withsecure.endpoint_engines import ENDPOINT_ENGINES
from collector.sources.withsecure.rules import COMMON_KEYS, Engine


@dataclass(frozen=True, slots=True)
class KnownEngine:
    """An engine under the name the vendor's filter uses, with all keys any table lists for it."""

    name: str
    engine: Engine
    keys: frozenset[str]


def _known(name: str, engine: Engine) -> KnownEngine:
    rules = engine.rules_for({})
    return KnownEngine(name, engine, engine.known | COMMON_KEYS | {key for key, _ in rules})


# Compared without regard to case: `AMSI` in the filter list, `amsi` in the vendor's fixtures.
ENGINES: dict[str, KnownEngine] = {
    name.lower(): _known(name, engine) for name, engine in (ENDPOINT_ENGINES | CLOUD_ENGINES).items()
}

UNKNOWN_ENGINE = Engine("", ("intrusion_detection",), ("info",), UNKNOWN_RULES)


def engine_title(name: str) -> str:
    """The engine's title in the vendor's own connector, the name itself of an unknown one."""
    known = ENGINES.get(name.lower())
    return known.engine.title if known is not None else name
