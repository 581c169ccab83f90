"""`collector tenant`: pause, resume, purge a tenant; accept another account."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.admin.client import DaemonAbsent
from collector.cli.daemon import add_config_argument, config_path, connect
from collector.cli.tables import print_json
from collector.errors import CollectorError

if TYPE_CHECKING:
    from collector.config import Config
    from collector.store import Store

# A purge goes through the whole log in small steps.
_PURGE_SECONDS = 6 * 3600.0
_SECONDS = 120.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser("tenant", help="pause, resume, purge a tenant; accept another account")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    paused = verbs.add_parser("pause", help="poll it no more; what is in the log is delivered")
    resumed = verbs.add_parser("resume", help="poll it again, from where it was")
    purged = verbs.add_parser(
        "purge",
        help="take its events out of the state",
        description="Payloads, ids, dead letters, gaps and, unless it stays configured, positions: afterwards no byte "
        "of its events is in the state file. What waits for a sink is not delivered. Of a tenant that organizations "
        "are mapped to, its records are taken out of the partner's pages.",
    )
    accepted = verbs.add_parser(
        "accept",
        help="let a source go on with another account",
        description="A source whose client_id, username or organization_id changed is held: positions of one account "
        "mean nothing for another. Accept where both see the same events.",
    )
    for verb, name in ((paused, "pause"), (resumed, "resume"), (purged, "purge")):
        verb.add_argument("tenant", metavar="TENANT")
        verb.set_defaults(verb=name)
    accepted.add_argument("tenant", metavar="TENANT[/SOURCE]")
    accepted.add_argument("--anew", action="store_true", help="forget its positions: read from start_from on")
    accepted.set_defaults(verb="accept")
    purged.add_argument("--yes", action="store_true", help="do not ask")
    for verb in (paused, resumed, purged, accepted):
        verb.add_argument("--json", action="store_true", help="print the answer as JSON")
        add_config_argument(verb)
        verb.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon, or change the state of a stopped one; 1 when the answer to the question is no."""
    tenant, _, source = str(arguments.tenant).partition("/")
    if source and arguments.verb != "accept":
        raise CollectorError(f"{arguments.tenant}: a tenant's name, without a source")
    if arguments.verb == "purge" and not arguments.yes and not _agreed(tenant):
        print("nothing was purged", file=sys.stderr)
        return 1
    body: dict[str, Any] = {"tenant": tenant}
    if arguments.verb == "accept":
        body |= {"source": source or None, "anew": arguments.anew}
    seconds = _PURGE_SECONDS if arguments.verb == "purge" else _SECONDS
    try:
        answer = connect(arguments, seconds).post(f"/tenant/{arguments.verb}", body)
    except DaemonAbsent as absent:
        answer = asyncio.run(_of_stopped(config_path(arguments), arguments.verb, body, absent))
    if arguments.json:
        print_json(answer)
    else:
        print(_sentence(arguments.verb, str(arguments.tenant), answer))
    return 0


def _sentence(verb: str, tenant: str, answer: dict[str, Any]) -> str:
    if verb == "purge":
        return f"purged {tenant}: {answer['events']} events are gone. Backups of the state still hold them"
    if verb == "accept":
        return f"accepted: {answer['feeds']} feeds of {tenant} go on"
    return f"{tenant} is {'paused' if verb == 'pause' else 'polled again'}"


def _agreed(tenant: str) -> bool:
    if not sys.stdin.isatty():
        raise CollectorError("say --yes where nobody can be asked")
    question = f"Take all events of {tenant} out of the state, delivered or not, for good? [y/N] "
    return input(question).strip().lower() in {"y", "yes"}


async def _of_stopped(path: Path, verb: str, body: dict[str, Any], absent: DaemonAbsent) -> dict[str, Any]:
    """Change the state; opening it keeps a daemon from starting meanwhile.

    Raises:
        DaemonAbsent: there is no state either.
    """
    from collector.app.purging import purge_stopped
    from collector.config import load_config
    from collector.plugins import installed

    config = load_config(path)
    if not await asyncio.to_thread(config.state.path.exists):
        raise absent
    if verb == "purge":
        return {"tenant": body["tenant"], "events": await purge_stopped(config, installed(), body["tenant"])}
    return await _in_state(config, lambda store: _VERBS[verb](store, config, body))


async def _in_state(config: Config, work: Callable[[Store], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    from collector.clock import Clock
    from collector.store import Store

    async with Store.open(config.state.path, max_size=config.state.max_size, clock=Clock()) as store:
        return await work(store)


async def _pause(store: Store, config: Config, body: dict[str, Any]) -> dict[str, Any]:
    if body["tenant"] not in config.tenants:
        raise CollectorError(f"no tenant {body['tenant']} in {config.path}")
    await store.tenants.pause(body["tenant"])
    return {"tenant": body["tenant"]}


async def _resume(store: Store, _config: Config, body: dict[str, Any]) -> dict[str, Any]:
    if body["tenant"] not in await store.tenants.paused():
        raise CollectorError(f"{body['tenant']} is not paused")
    await store.tenants.resume(body["tenant"])
    return {"tenant": body["tenant"]}


async def _accept(store: Store, config: Config, body: dict[str, Any]) -> dict[str, Any]:
    from collector.app.holding import accept
    from collector.plugins import installed

    feeds = await accept(store, config, installed(), body["tenant"], body["source"], anew=body["anew"])
    return {"tenant": body["tenant"], "feeds": feeds}


_VERBS = {"pause": _pause, "resume": _resume, "accept": _accept}
