"""`collector dead-letters`: events that a sink refused for their content."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from collector.cli.daemon import add_config_argument, connect
from collector.cli.tables import age, print_json, print_table, text_of

COLUMNS = ("id", "sink", "destination", "feed", "uid", "vendor's id", "attempts", "refused", "reason")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser("dead-letters", help="events that a sink refused")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    listed = verbs.add_parser("list", help="which there are, the oldest first")
    listed.add_argument("sink", nargs="?", metavar="SINK", help="those of one sink (default: all)")
    listed.add_argument("--limit", type=int, default=100, help="at most so many (100)")
    listed.add_argument("--json", action="store_true", help="print them as JSON")
    listed.set_defaults(func=run_list)

    shown = verbs.add_parser("show", help="one with its record, as JSON")
    shown.add_argument("id", type=int, metavar="ID")
    shown.set_defaults(func=run_show)

    retried = verbs.add_parser("retry", help="send them to their sink again")
    retried.set_defaults(func=run_retry)
    dropped = verbs.add_parser("drop", help="remove them for good")
    dropped.add_argument("--yes", action="store_true", help="do not ask")
    dropped.set_defaults(func=run_drop)
    for changing in (retried, dropped):
        changing.add_argument("sink", nargs="?", metavar="SINK", help="those of one sink (default: of every sink)")
        changing.add_argument("--id", type=int, action="append", metavar="ID", help="only this one; may be repeated")
        changing.add_argument("--json", action="store_true", help="print the answer as JSON")
    for verb in (listed, shown, retried, dropped):
        add_config_argument(verb)


def run_list(arguments: argparse.Namespace) -> int:
    """Print them."""
    letters = connect(arguments).get("/dead-letters", {"sink": arguments.sink, "limit": arguments.limit})
    if arguments.json:
        print_json(letters)
        return 0
    print_table(COLUMNS, (_row(letter) for letter in letters), "no dead letters")
    if len(letters) == arguments.limit:
        print(f"these are the oldest {arguments.limit}; --limit shows more", file=sys.stderr)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print one."""
    print_json(connect(arguments).get(f"/dead-letters/{arguments.id}"))
    return 0


def run_retry(arguments: argparse.Namespace) -> int:
    """Have them sent again; whether the sink takes them shows in the list later."""
    answer = connect(arguments).post("/dead-letters/retry", {"sink": arguments.sink, "ids": arguments.id})
    _print_answer(arguments, answer, f"{answer['retried']} will be sent again")
    return 0


def run_drop(arguments: argparse.Namespace) -> int:
    """Remove them, after a question: this is the one way to lose an event on purpose."""
    client = connect(arguments)
    if not arguments.yes and not _confirmed(arguments):
        print("nothing was dropped", file=sys.stderr)
        return 1
    answer = client.post("/dead-letters/drop", {"sink": arguments.sink, "ids": arguments.id})
    _print_answer(arguments, answer, f"{answer['dropped']} dropped")
    return 0


def _confirmed(arguments: argparse.Namespace) -> bool:
    which = f"dead letters {', '.join(map(str, arguments.id))}" if arguments.id else "all dead letters"
    of = f" of sink {arguments.sink}" if arguments.sink else ""
    print(f"Drop {which}{of} for good? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_answer(arguments: argparse.Namespace, answer: Any, sentence: str) -> None:
    if arguments.json:
        print_json(answer)
    else:
        print(sentence)


def _row(letter: dict[str, Any]) -> list[str]:
    feed = "/".join(text_of(letter, "tenant", "source", "feed"))
    before = text_of(letter, "id", "sink", "destination")
    return [
        *before,
        feed,
        *text_of(letter, "uid", "event_id", "attempts"),
        age(letter["at"]),
        *text_of(letter, "reason"),
    ]
