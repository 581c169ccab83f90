"""What no section can check alone: that the parts of a configuration agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from os.path import normpath
from typing import Any

from collector.config.model import StateConfig, TenantConfig
from collector.config.report import Report
from collector.routing import Name, Template
from collector.settings import Location, parse_name
from collector.sinks.config import SinkConfig
from collector.sources.config import SourceConfig
from collector.suggest import did_you_mean
from collector.units import format_duration, format_size

_GLOB = frozenset("*?[")
# What names an account, and what part of what it sees is read.
_WHO = ("client_id", "username")
_WHERE = ("base_url", "organization_id", "region", "incident_url")


def check_names(tree: Mapping[str, Any], report: Report) -> None:
    """There is something to do, under names that can stand in paths, metrics and commands."""
    for section, singular in (("tenants", "tenant"), ("sinks", "sink")):
        if not tree[section]:
            report.missing_key((section,), f"at least one {singular} is needed")
        for name in tree[section]:
            try:
                parse_name(name)
            except ValueError as exc:
                report.add((section, name), f"the name {exc}")


def check_tenants(tenants: Mapping[str, TenantConfig], state: StateConfig | None, report: Report) -> None:
    """No id is forgotten while a sweep can still meet it; nothing is renamed from what still exists."""
    _check_renames(tenants, "tenants", report)
    if state is not None:
        _check_horizons(tenants, state, report)


def check_source_names(sources: Mapping[int, SourceConfig], location: Location, report: Report) -> None:
    """The sources of a tenant, by position in the file at that location, are told apart by name."""
    seen: set[str] = set()
    for index, source in sources.items():
        if source.name in seen:
            report.add((*location, index, "name"), f"a second source named {source.name}; give it another name")
        seen.add(source.name)
    for index, source in sources.items():
        if source.renamed_from in seen:
            report.add((*location, index, "renamed_from"), f"{source.renamed_from} is still the name of a source")


def check_sinks(
    sinks: Mapping[str, SinkConfig], tenants: Mapping[str, TenantConfig], state: StateConfig | None, report: Report
) -> None:
    """Sinks fit into the state; their routes lead from what exists."""
    _check_renames(sinks, "sinks", report)
    _check_paths(sinks, report)
    _check_accounts(tenants, report)
    _check_owners(tenants, report)
    _check_partners(tenants, report)
    known = _known_words(tenants)
    for name, sink in sinks.items():
        here: Location = ("sinks", name)
        if state is not None and sink.max_backlog is not None and sink.max_backlog > state.max_size:
            report.add((*here, "max_backlog"), f"must not be more than state.max_size ({format_size(state.max_size)})")
        for key, words in known.items():
            _check_route(getattr(sink.route, key), words, (*here, "route", key), report)


def _check_renames(section: Mapping[str, TenantConfig] | Mapping[str, SinkConfig], key: str, report: Report) -> None:
    heirs: dict[str, str] = {}
    for name, entry in section.items():
        old = entry.renamed_from
        if old is None:
            continue
        here = (key, name, "renamed_from")
        if old in section:
            report.add(here, f"{old} still exists under {key}")
        elif old in heirs:
            report.add(here, f"{heirs[old]} says already that it was {old}")
        heirs.setdefault(old, name)


def _check_paths(sinks: Mapping[str, SinkConfig], report: Report) -> None:
    """Two sinks at one file would each cut back what the other wrote."""
    owners: dict[tuple[str, str], str] = {}
    patterns: dict[str, re.Pattern[str]] = {}
    constants: dict[str, str] = {}
    for name, sink in sinks.items():
        path = getattr(sink, "path", None)
        if not isinstance(path, str):
            continue
        here = ("sinks", name, "path")
        if any("\ud800" <= char <= "\udfff" for char in path):
            report.add(here, "must be UTF-8")
            continue
        owner = owners.setdefault((sink.type, normpath(path)), name)
        if owner != name:
            report.add(here, f"sink {owner} writes there already")
            continue
        template = Template(path, times=True)
        if template.is_constant:
            constants[name] = normpath(path)
        else:
            parts = ("[^/]+" if isinstance(part, Name) else re.escape(part) for part in template.parts)
            patterns[name] = re.compile("".join(parts))
    for name, text in constants.items():
        for other, pattern in patterns.items():
            if pattern.fullmatch(text):
                message = f"sink {other} may write to the same file: each would cut back what the other wrote"
                report.warn(("sinks", name, "path"), message)


def _check_accounts(tenants: Mapping[str, TenantConfig], report: Report) -> None:
    """One account read twice is delivered twice, once under a wrong name perhaps."""
    owners: dict[tuple[object, ...], str] = {}
    for name, tenant in tenants.items():
        for index, source in enumerate(tenant.sources):
            who = next((key for key in _WHO if getattr(source, key, None) is not None), None)
            if who is None:
                continue
            account = (source.type, getattr(source, who), *(getattr(source, key, None) for key in _WHERE))
            owner = owners.setdefault(account, f"{name}/{source.name}")
            if owner != f"{name}/{source.name}":
                here = ("tenants", name, "sources", index, who)
                report.warn(here, f"{owner} reads the same account: its events are delivered twice")


def _check_owners(tenants: Mapping[str, TenantConfig], report: Report) -> None:
    """Owners that are asked for, and nowhere to find whose they are."""
    message = (
        "true finds owners in the tenant's organizations, and there are none: map them there or here; "
        "{} lets `collector check` list the owners first"
    )
    for name, tenant in tenants.items():
        for index, source in enumerate(tenant.sources):
            if getattr(source, "by_owner", None) is True and not tenant.organizations:
                report.add(("tenants", name, "sources", index, "by_owner"), message)


def _check_partners(tenants: Mapping[str, TenantConfig], report: Report) -> None:
    """A customer may be read with a partner's credentials or with its own; with both, what both see comes twice."""
    for name, tenant in tenants.items():
        types = {source.type for source in tenant.sources}
        for other in sorted(tenant.names - {name}):
            own = [source for source in tenants[other].sources if source.type in types] if other in tenants else []
            if own:
                message = f"{other}/{own[0].name} reads the same vendor: what both see is delivered twice"
                report.warn(("tenants", name, "organizations"), message)


def _check_horizons(tenants: Mapping[str, TenantConfig], state: StateConfig, report: Report) -> None:
    if state.keep_delivered > state.remember_ids:
        limit = format_duration(state.remember_ids)
        report.add(("state", "keep_delivered"), f"must not be longer than remember_ids ({limit})")
    windows = (
        (source.sweep.window, f"{name}/{source.name}") for name, tenant in tenants.items() for source in tenant.sources
    )
    largest, owner = max(windows, key=lambda one: one[0], default=(None, ""))
    if largest is not None and state.remember_ids < 2 * largest:
        report.add(
            ("state", "remember_ids"),
            f"must be at least {format_duration(2 * largest)}, twice the sweep window of {owner}; "
            f"it is {format_duration(state.remember_ids)}",
        )


def _known_words(tenants: Mapping[str, TenantConfig]) -> dict[str, set[str]]:
    sources = [source for tenant in tenants.values() for source in tenant.sources]
    return {
        "tenants": set(tenants).union(*(tenant.names for tenant in tenants.values())),
        "sources": {source.name for source in sources},
        "feeds": {feed for source in sources for feed in source.feeds},
    }


def _check_route(wanted: Iterable[str], known: set[str], location: Location, report: Report) -> None:
    for index, word in enumerate(wanted):
        # A customer may come tomorrow, so a name that leads nowhere is no error.
        if word not in known and not _GLOB.intersection(word):
            guess = did_you_mean(word, sorted(known))
            question = f"; did you mean {guess}?" if guess else ""
            report.warn((*location, index), f"nothing has this name, so nothing of it comes here{question}")
