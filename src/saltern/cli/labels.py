"""Commands for people about labels: ledger, recall."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.cli.arguments import add_store
from saltern.errors import UserError
from saltern.text import aligned

if TYPE_CHECKING:
    from saltern.labelling.ledger import Books
    from saltern.labelling.recall import Selection
    from saltern.running.attempts import Attempt
    from saltern.store import Account, LabelStore

MOST = 12
"""Values that are listed in one line; of more it says how many there are."""

_LEDGER = """\
What became of every frame that was asked for, and what it cost: requested = accepted + quarantined, by system and by
method. It reads results only and may be asked at any time, while a campaign runs too.

  saltern ledger results/demo                  a campaign, finished or not
  saltern ledger results/demo/atoms/dataset    a dataset release
"""

_LEDGER_END = """\
Open are frames that have no label yet, and frames whose label was recalled and is not made again yet. "?" stands where
a system is not sampled yet. CPU time is what the labels cost, also those that another campaign had paid for.

Exit codes: 0 the ledger closes, 1 frames are open, 2 the input is wrong.
"""

_RECALL = """\
Take labels that were found to be wrong out of use. Every campaign that shares the store makes them again in its next
run, with all that depends on them and nothing else, and its next release says so.

  saltern recall labels --list                                                 earlier recalls
  saltern recall labels --dry-run                                              what the store holds
  saltern recall labels --engine cp2k --engine-version '2023.*' --dry-run      what would be recalled
  saltern recall labels --host node17 --date 2026-11-03:2026-11-05 --reason "memory of node17 was faulty"

Criteria combine: all must be met. A value with *, ? or [ is a pattern. A recall takes effect as a whole or not at all;
after a kill the same command completes it. Labels that running campaigns are still making are not seen: let them end
first.
"""


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    verbatim = argparse.RawDescriptionHelpFormatter
    ledger = commands.add_parser(
        "ledger",
        help="requested = accepted + quarantined, with costs, of a campaign or a release",
        description=_LEDGER,
        epilog=_LEDGER_END,
        formatter_class=verbatim,
    )
    ledger.add_argument("results", type=Path, metavar="RESULTS", help="results of a campaign, or a dataset release")
    add_store(ledger, "for recalls")
    ledger.add_argument(
        "--slurm-logs",
        type=Path,
        default=Path("logs/slurm"),
        metavar="DIRECTORY",
        help="SLURM's own logs, for attempts that were killed (default: logs/slurm, where that is there)",
    )
    ledger.add_argument("--json", action="store_true", help="for machines")
    ledger.set_defaults(run=_ledger)

    recall = commands.add_parser(
        "recall", help="take wrong labels out of use", description=_RECALL, formatter_class=verbatim
    )
    recall.add_argument("store", type=Path, metavar="STORE", help="the label store, label_store in the campaign file")
    chosen = recall.add_argument_group("criteria")
    chosen.add_argument("--engine", default="", metavar="NAME", help="engine, such as cp2k")
    chosen.add_argument("--engine-version", default="", metavar="VERSION", help="its version")
    chosen.add_argument("--method", default="", metavar="METHOD", help="level of theory")
    chosen.add_argument("--host", default="", metavar="HOST", help="machine that made the label")
    chosen.add_argument("--date", default="", metavar="A:B", help="first and last day (UTC), YYYY-MM-DD, either open")
    chosen.add_argument("--scf-path", default="", metavar="TEXT", help="part of how convergence was sought")
    chosen.add_argument("--build", default="", metavar="TEXT", help="part of how the engine's program was made")
    chosen.add_argument("--key", default="", metavar="KEY", help="the label's key or its beginning")
    recall.add_argument("--reason", default="", metavar="TEXT", help="why; releases quote it")
    recall.add_argument("--name", default="", metavar="NAME", help="default: the day and the reason")
    recall.add_argument("--dry-run", action="store_true", help="count only; recall nothing")
    recall.add_argument("--list", action="store_true", help="earlier recalls of this store")
    recall.set_defaults(run=_recall)


def _ledger(options: argparse.Namespace) -> None:
    from saltern.labelling.ledger import books_of
    from saltern.running.attempts import attempts
    from saltern.store import LabelStore

    books = books_of(options.results, LabelStore(options.store))
    killed = [attempt for attempt in attempts(options.slurm_logs) if attempt.rule == "label"]
    if options.json:
        told = {b.name: {**b.ledger.plain(), "recalled": dict(b.recalled), "stale": b.stale} for b in books}
        lost = [{"wildcards": a.wildcards, "job": a.job, "outcome": a.outcome} for a in killed]
        print(json.dumps({"ledgers": told, "attempts": lost}, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(_in_words(entry) for entry in books))
        print(_attempts(killed), end="")
    if not all(entry.ledger.closes for entry in books):
        sys.exit(1)


def _in_words(books: Books) -> str:
    """One ledger as people read it."""
    ledger = books.ledger
    rows = [_row(system, account) for system, account in ledger.systems.items()]
    header = ("system", "requested", "accepted", "quarantined", "open", "failures", "CPU h", "CPU s/frame", "method")
    lines = [books.name, *aligned([header, *rows, _row("all", ledger.total)], left=(0, len(header) - 1)), ""]
    lines += [line for method, account in ledger.methods.items() for line in _method(method, account)]
    if ledger.total.quarantined:
        lines.append(f"quarantined: {_listed(ledger.total.quarantined)}")
    if ledger.hard:
        lines.append("under-sampled hard regions, more than 1 % without a label:")
        lines += [
            f"  {system}: {account.refused} of {account.labelled} frames, {_percent(account.failure_rate)}: "
            f"{_listed(account.quarantined)}"
            for system, account in ledger.hard.items()
        ]
    lines += [f"recalled and not made again yet: {count} frames ({name})" for name, count in books.recalled.items()]
    if books.stale:
        lines.append(f"{books.stale} labelled frames belong to no candidate of today; they count nowhere")
    return "\n".join([*lines, _verdict(ledger.total, ledger.closes)])


def _row(name: str, account: Account) -> tuple[str, ...]:
    """One line of the table."""
    return (
        name,
        _known(account.requested),
        str(account.accepted),
        str(account.refused),
        _known(account.open),
        _percent(account.failure_rate),
        f"{account.cpu_seconds / 3600:.3f}",
        _known(account.cpu_seconds_a_frame, ".1f"),
        ", ".join(account.methods),
    )


def _method(method: str, account: Account) -> list[str]:
    """What else there is to say about the labels of one method."""
    lines = [
        f"{method}: {account.labelled} frames, {account.cpu_seconds / 3600:.3f} CPU h, "
        f"{_known(account.cpu_seconds_a_frame, '.1f')} CPU s a frame, failure rate {_percent(account.failure_rate)}",
        f"  more than the first SCF attempt: {account.retried} frames",
    ]
    lines += [f"  made again after a recall: {account.relabelled} frames"] if account.relabelled else []
    lines += [f"  made on {_listed(account.hosts, after=True)}"] if account.hosts else []
    lines += [f"  made with {_listed(account.builds, after=True)}"] if account.builds else []
    return lines


def _verdict(total: Account, closes: bool) -> str:
    """Whether the ledger closes, last and in one line."""
    count = f"{total.accepted} accepted + {total.refused} quarantined"
    if closes:
        return f"the ledger closes: {total.requested} requested = {count}"
    return f"the ledger is open: {_known(total.requested)} requested, {count}, {_known(total.open)} open"


def _attempts(killed: Sequence[Attempt]) -> str:
    """Attempts at label jobs that SLURM saw end badly."""
    counts = Counter(attempt.outcome for attempt in killed)
    if not counts:
        return ""
    return f"attempts of SLURM jobs that did not succeed: {_listed(dict(counts.most_common()))}\n"


def _recall(options: argparse.Namespace) -> None:
    from saltern.labelling.recall import Selection, days
    from saltern.store import LabelStore

    if not (options.store / "labels").is_dir():
        raise UserError(f"{options.store}: no label store is there")
    store = LabelStore(options.store)
    if options.list:
        _list(store)
        return
    first, last = days(options.date) if options.date else ("", "")
    names = ("engine", "engine_version", "method", "host", "build", "scf_path", "key")
    selection = Selection(**{name: getattr(options, name) for name in names}, first=first, last=last)
    if not options.dry_run and not selection:
        raise UserError("recall: no criterion; give at least one of those in saltern recall --help")
    if not options.dry_run and not options.reason:
        raise UserError('recall: no reason; add --reason "TEXT", which releases will quote')
    keys = _selected(store, selection, options.store)
    if options.dry_run:
        return
    _mark(store, keys, selection, options)


def _selected(store: LabelStore, selection: Selection, where: Path) -> list[str]:
    """The keys that a recall means, after telling people about them."""
    from saltern.labelling.recall import count_traits, traits
    from saltern.progress import track

    keys = store.keys()
    whole = ((key, store.find(key)) for key in track(keys, f"recall {where}", total=len(keys), unit="label"))
    about = {key: (selection.takes(key, record), traits(record)) for key, record in whole if record is not None}
    chosen = [key for key, (taken, _) in about.items() if taken]
    print(f"{len(chosen)} of {len(about)} labels in {where} meet the criteria")
    # where nothing is met, what is there tells which criterion was mistyped
    shown = chosen or list(about)
    for trait, counts in count_traits(about[key][1] for key in shown).items():
        print(f"  {trait if chosen else f'{trait} in the store'}: {_listed(counts, after=True)}")
    return chosen


def _mark(store: LabelStore, keys: Sequence[str], selection: Selection, options: argparse.Namespace) -> None:
    """Make the recall, or say that there is none to make."""
    from datetime import UTC, datetime

    abandoned = store.tidy()
    if abandoned:
        print(f"removed {abandoned} unfinished files of writers that were killed more than a day ago")
    if not keys:
        print("nothing to recall: no label in use meets the criteria; earlier recalls are complete")
        return
    today = datetime.now(UTC).date().isoformat()
    reason = " ".join(options.reason.split())
    name = options.name or _free(f"{today}-{_slug(reason)}", store.recalls())
    store.recall(name, keys, {"reason": reason, "date": today, "criteria": selection.criteria()})
    print(f"recalled {len(keys)} labels: {name}; the next run of a campaign that uses them makes them again")


def _list(store: LabelStore) -> None:
    """Every recall of a store."""
    recalls = store.recalls()
    for name, about in recalls.items():
        again = sum(store.find(key) is not None for key in about["keys"])
        criteria = ", ".join(f"{option} {text}" for option, text in about.get("criteria", {}).items())
        print(f"{name}: {about.get('reason', '')}")
        print(f"  {len(about['keys'])} labels, {again} of them made again; criteria: {criteria or 'not known'}")
    if not recalls:
        print(f"{store.directory}: no recalls")


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """A name that no recall has."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(free for free in (name, *numbered) if free not in taken)


def _slug(text: str) -> str:
    """The first words of a reason, for a name."""
    import re

    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:40].rstrip("-") or "recall"


def _listed(counts: Mapping[str, int], *, after: bool = False) -> str:
    """'3 net-force, 1 engine-failed', or the other way round."""
    told = [f"{name} ({count})" if after else f"{count} {name}" for name, count in counts.items()]
    more = [f"and {len(told) - MOST} more"] if len(told) > MOST else []
    return ", ".join([*told[:MOST], *more])


def _known(value: float | None, form: str = "d") -> str:
    """A number, or a question mark."""
    return "?" if value is None else format(value, form)


def _percent(rate: float | None) -> str:
    return "?" if rate is None else f"{100 * rate:.1f} %"
