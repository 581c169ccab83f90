"""What a new configuration changes: exactly so much is restarted, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from collector.app.parts import Account
from collector.config import Config

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Changes(Generic[K]):
    """What of one kind goes, is restarted, comes.

    `renamed`: new name to old. `reopened`: unchanged, but to be opened anew since streams get other names.
    """

    gone: Sequence[K] = ()
    changed: Sequence[K] = ()
    new: Sequence[K] = ()
    renamed: Mapping[K, K] = field(default_factory=dict)
    reopened: Sequence[K] = ()

    @property
    def left(self) -> list[K]:
        """Names that exist no more."""
        return [*self.gone, *self.renamed.values()]

    @property
    def stopped(self) -> list[K]:
        """What must not run while the change is made."""
        return [*self.left, *self.changed, *self.reopened]

    @property
    def started(self) -> list[K]:
        """What runs after it."""
        return [*self.changed, *self.reopened, *self.renamed, *self.new]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did: one line, every single change in words, what looks like a mistake."""

    summary: str
    changed: Sequence[str]
    warnings: Sequence[str]


def compared(
    before: Mapping[K, object],
    after: Mapping[K, object],
    renamed: Mapping[K, K],
    is_changed: Callable[[K], bool],
    is_reopened: Callable[[K], bool] = lambda _: False,
) -> Changes[K]:
    """`renamed` (new to old) may name more than is renamed now: a `renamed_from` may stay in the file for good."""
    moved = {new: old for new, old in renamed.items() if new in after and new not in before and old in before}
    moved = {new: old for new, old in moved.items() if old not in after}
    both = [name for name in after if name in before]
    changed = [name for name in both if is_changed(name)]
    return Changes(
        gone=[name for name in before if name not in after and name not in moved.values()],
        changed=changed,
        new=[name for name in after if name not in before and name not in moved],
        renamed=moved,
        reopened=[name for name in both if name not in changed and is_reopened(name)],
    )


def told(
    before: Config, after: Config, sources: Changes[tuple[str, str]], sinks: Changes[str], warnings: Sequence[str]
) -> Reloaded:
    """The difference in words."""
    tenants = compared(
        before.tenants,
        after.tenants,
        {name: tenant.renamed_from for name, tenant in after.tenants.items() if tenant.renamed_from},
        lambda name: _described(before, name) != _described(after, name),
    )
    changed = [
        *(f"~ tenant {name}" for name in tenants.changed),
        *(["~ logging"] if before.logging != after.logging else []),
        *_lines("source", sources, "/".join),
        *_lines("sink", sinks, str),
    ]
    return Reloaded(_summary(tenants, sources, sinks) if changed else "nothing has changed", changed, warnings)


def _summary(tenants: Changes[str], sources: Changes[tuple[str, str]], sinks: Changes[str]) -> str:
    """Sources come and go with their tenants; of those only the tenants are counted."""
    coming, going = {*tenants.new, *tenants.renamed}, {*tenants.gone, *tenants.renamed.values()}
    own_new = [key for key in sources.new if key[0] not in coming]
    own_gone = [key for key in sources.gone if key[0] not in going]
    own_renamed = [key for key in sources.renamed if key[0] not in tenants.renamed]
    parts = [
        *_counted("+", len(tenants.new), "tenant"),
        *_counted("-", len(tenants.gone), "tenant"),
        *_counted("~", len(tenants.changed), "tenant"),
        *_counted("+", len(own_new), "source"),
        *_counted("-", len(own_gone), "source"),
        *_counted("+", len(sinks.new), "sink"),
        *_counted("-", len(sinks.gone), "sink"),
    ]
    if renamed := len(tenants.renamed) + len(own_renamed) + len(sinks.renamed):
        parts.append(f"{renamed} renamed")
    parts.append(f"{len(sources.changed) + len(sinks.changed)} restarted")
    if sinks.reopened:
        count = len(sinks.reopened)
        parts.append(f"{count} sink{'s' if count > 1 else ''} opened anew under the new names")
    return ", ".join(parts)


def _counted(sign: str, count: int, noun: str) -> Iterator[str]:
    if count:
        yield f"{sign}{count} {noun}{'s' if count > 1 else ''}"


def _lines(kind: str, changes: Changes[K], name: Callable[[K], str]) -> Iterator[str]:
    signs = (("-", changes.gone), ("~", changes.changed), ("+", changes.new))
    yield from (f"{sign} {kind} {name(key)}" for sign, keys in signs for key in keys)
    yield from (f"> {kind} {name(old)} is {name(new)} now" for new, old in changes.renamed.items())


def _described(config: Config, name: str) -> tuple[object, object]:
    """What of a tenant changes without a restart of anything."""
    tenant = config.tenants[name]
    return tenant.labels, tenant.mapped


def lookalikes(
    before: Mapping[tuple[str, str], Account],
    after: Mapping[tuple[str, str], Account],
    sources: Changes[tuple[str, str]],
) -> list[str]:
    """Sources that come with the account of one that goes: most likely somebody forgot to say `renamed_from`."""
    gone = {before[key].identity: key for key in sources.gone if before[key].identity}
    return [
        f"{'/'.join(key)} reads the account that {'/'.join(gone[identity])} read: this looks like a rename. Without "
        "`renamed_from` it is read again from `start_from` on, and what was delivered is delivered once more"
        for key in sources.new
        if (identity := after[key].identity) in gone
    ]
