"""`python -m tests.bench`: measure, and print tables. `make bench` runs them all."""

import argparse
import importlib
import logging
import sys
import time
from types import ModuleType

import structlog
import uvloop

from tests.bench import report
from tests.bench.machine import header
from tests.bench.measure import Plan
from tests.bench.run import Run
from tests.bench.servers import servers

TABLES = ("appends", "http", "boundaries", "replay", "followers", "relay", "tiles", "audit")
"""Each is a module beside this one with `async def measure(run: Run) -> Table`."""

QUICK = Plan(seconds=0.2, repetitions=1, quick=True)


def main() -> None:
    arguments = _arguments()
    default = QUICK if arguments.quick else Plan()
    plan = Plan(
        seconds=arguments.seconds or default.seconds,
        repetitions=arguments.repetitions or default.repetitions,
        quick=default.quick,
        large=arguments.large,
    )
    modules = [importlib.import_module(f"tests.bench.{name}") for name in arguments.tables or TABLES]
    settings = dict(setting.split("=", 1) for setting in arguments.postgres)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # tables are printed here
    try:
        text = uvloop.run(_measured(modules, plan, settings))
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left behind")
    if arguments.save:
        report.save(text)


async def _measured(modules: list[ModuleType], plan: Plan, settings: dict[str, str]) -> str:
    """The whole report; its parts are printed as soon as they are there."""
    async with servers(_tell, **settings) as running:
        run = Run(plan=plan, servers=running, tell=_tell)
        top = await header(plan, running)
        print(top, flush=True)
        tables = []
        for module in modules:
            began = time.monotonic()
            tables.append(await module.measure(run))
            _tell(f"{module.__name__} took {time.monotonic() - began:.0f} s")
            print(tables[-1].markdown(), flush=True)
        return report.document(top, tables)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, and print tables.")
    parser.add_argument("tables", nargs="*", metavar="NAME", type=_table, help=", ".join(TABLES))
    parser.add_argument("--seconds", type=float, metavar="S", help="for each case in each repetition")
    parser.add_argument("--repetitions", type=int, metavar="R", help="how often each case runs")
    parser.add_argument("--quick", action="store_true", help="small logs, once: only to see that all of it works")
    parser.add_argument("--large", action="store_true", help="boundaries in a log of 10 million events too")
    parser.add_argument("--save", action="store_true", help="rewrite tests/bench/RESULTS.md")
    parser.add_argument("--postgres", action="append", default=[], metavar="NAME=VALUE", help="a server setting")
    return parser.parse_args()


def _table(name: str) -> str:
    if name not in TABLES:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(TABLES)}")
    return name


if __name__ == "__main__":
    main()
