"""`collector check`: does this configuration work."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from collector.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from collector.app.checking import Finding
    from collector.config import Config


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="validate the configuration, log in everywhere",
        description="Validates the configuration, logs in at every vendor, reaches every sink, "
        "reads through the state. Exit status 1 when one of them fails.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the configuration file")
    parser.add_argument("--offline", action="store_true", help="validate only")
    parser.add_argument("--tenant", metavar="T", help="only this tenant's sources")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Check; 0 when everything works.

    Raises:
        ConfigError: the configuration can't be used.
    """
    from collector.config import load_config
    from collector.errors import ConfigError
    from collector.log import configure, hide
    from collector.suggest import hint

    config = load_config(arguments.config)
    hide(*config.secret_values())
    configure("warning", config.logging.format)
    if arguments.tenant is not None and arguments.tenant not in config.tenants:
        raise ConfigError([f"--tenant {arguments.tenant}: {hint(arguments.tenant, tuple(config.tenants))}"])
    findings = [] if arguments.offline else asyncio.run(_findings(config, arguments.tenant))
    _show(config, findings, as_json=arguments.json)
    return 0 if all(finding.good for finding in findings) else 1


async def _findings(config: Config, tenant: str | None) -> list[Finding]:
    from collector.app.checking import check

    return [finding async for finding in check(config, tenant)]


def _show(config: Config, findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "warnings": list(config.warnings),
                "checks": [
                    {
                        "what": finding.what,
                        "good": finding.good,
                        "remarks": list(finding.remarks),
                        "organizations": [asdict(seen) for seen in finding.organizations],
                    }
                    for finding in findings
                ],
            }
        )
        return
    for warning in config.warnings:
        print(f"warning: {warning}")
    sources = sum(len(tenant.sources) for tenant in config.tenants.values())
    print(f"{config.path}: valid; {len(config.tenants)} tenants, {sources} sources, {len(config.sinks)} sinks")
    if findings:
        rows = [[f.what, "ok" if f.good else "failed", "; ".join(f.remarks)] for f in findings]
        print_table(("what", "result", "remarks"), rows, "")
    # Those without a tenant first: they are what is to be done.
    seen = [
        (finding.what.removeprefix("source "), one)
        for finding in findings
        for one in sorted(finding.organizations, key=lambda one: (one.tenant is not None, one.name, one.id))
    ]
    if seen:
        told = [[what, one.name, one.id, one.tenant or "(none)"] for what, one in seen]
        print_table(("source", "organization", "id", "tenant"), told, "")
