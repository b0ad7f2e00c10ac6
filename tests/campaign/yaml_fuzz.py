"""Mutated and built documents: no exception, 2 s of CPU, 200 MB; each loads, or is refused with a position.

Inputs are runbooks and inventories that load, changed in their bytes, words, lines and tree; random YAML; expressions,
templates and scripts by their grammar; and bombs (aliases, nesting, huge texts, many keys, many errors). They are tried
in child processes, many in each, under limits that the kernel keeps: a case that kills its child is named by its seed,
as is every other. `read` gives several files, so that a document may name others.
"""

import multiprocessing
import os
import random
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from drctl.core.diagnostics import Diagnostic
from drctl.core.kind import Kind
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook, render
from tests.campaign.registry import Figures, box_closed
from tests.loading.bombs import BUILT
from tests.loading.documents import VALID, inventory, read
from tests.loading.mutations import as_yaml, mutated_text, mutated_tree, parse

NAME = "yaml-fuzz"
ROWS = ("R10",)
COUNT = 100_000
CI_COUNT = 10_000
SLOW = 2.0
"""Seconds of CPU for one input, on a core that nobody else slows down."""
_LOOP = 2_000_000
_LOOP_TAKES = 0.05
"""Seconds of CPU that so many steps of a plain loop take on such a core; a faster one is held to the same."""
LARGE = 200 * 1024 * 1024
"""Bytes of address space that a child may grow by."""
BATCH = 200
"""Cases of one order to a child."""
_SHARES = {"first": 24, "everything": 4, "inventory": 8, "other": 4, "built": 30}
_HANGS = 60.0  # seconds of wall time after which a child without a word is ended; CPU is judged, this only ends a hang
_PROMISES = (
    *("exceptions", "slower than 2 s", "larger than 200 MB", "without a reason"),
    *("places outside the file", "lines that cannot be shown"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One input, made anew from its seed wherever it is needed."""

    name: str
    path: str
    files: Mapping[str, bytes]

    def load(self, kinds: Mapping[str, type[Kind]]) -> tuple[bool, tuple[Diagnostic, ...]]:
        """Load it through a read of several files."""

        def found(path: str) -> bytes:
            if path not in self.files:
                raise FileNotFoundError(2, "No such file or directory", path)
            return self.files[path]

        if self.path == "inventory.yaml":
            hosts = load_inventory(self.path, found)
            return hosts.value is not None, hosts.diagnostics
        runbook = load_runbook(self.path, found, kinds, inventory())
        return runbook.value is not None, runbook.diagnostics


class Maker:
    """Makes cases from seeds."""

    def __init__(self) -> None:
        self._texts = {path: read(path) for path in (*VALID, "inventory.yaml")}
        self._trees = {path: parse(text) for path, text in self._texts.items()}
        self._donors = list(self._trees.values())
        self._paths = [path for path in self._texts for _ in range(self._share(path))]

    @staticmethod
    def _share(path: str) -> int:
        name = path.rsplit("/", 1)[-1].removesuffix(".yaml")
        return _SHARES.get(name, _SHARES["other"])

    def case(self, seed: int) -> Case:
        """The case of a seed."""
        own = random.Random(seed)
        if own.randrange(len(self._paths) + _SHARES["built"]) < _SHARES["built"]:
            name, _, build = own.choices(BUILT, [weight for _, weight, _ in BUILT])[0]
            data = build(own)
            if name in {"language", "random YAML"} and own.random() < 0.2:
                data = mutated_text(data, own)
            return Case(name, "x.yaml", {"x.yaml": data})
        path = own.choice(self._paths)
        data = self._mutated(path, own)
        if path == "inventory.yaml":
            keys = read("known_hosts")
            keys = mutated_text(keys, own) if own.random() < 0.1 else keys
            return Case(path, path, {path: data, "known_hosts": keys})
        others = {other.rsplit("/", 1)[-1]: text for other, text in self._texts.items()}
        return Case(path, "x.yaml", {**others, "x.yaml": data})

    def _mutated(self, path: str, own: random.Random) -> bytes:
        data = self._texts[path]
        if own.random() < 0.5:
            data = as_yaml(mutated_tree(self._trees[path], own, self._donors))
        return mutated_text(data, own) if own.random() < 0.6 else data


def judge(case: Case, found: tuple[Diagnostic, ...], *, loaded: bool) -> list[tuple[str, str]]:
    """The promises one load broke."""
    broken = []
    if not loaded and not found:
        broken.append(("without a reason", ""))
    for one in found:
        where = one.where
        lines = case.files.get(where.file, b"").decode("utf-8", "replace").count("\n") + 1
        inside = 1 <= where.line <= lines + 1 and where.column >= 1
        whole_file = where.line == 0 and where.column == 0 and one.code in {"E100", "E107", "E109"}
        if not inside and not whole_file:
            broken.append(("places outside the file", f"{where} {one.code}"))
    if found:
        text = case.files.get(found[0].where.file, b"").decode("utf-8", "replace")
        shown = render(found[0], text)
        if not all(character.isprintable() or character == "\n" for character in shown):
            broken.append(("lines that cannot be shown", repr(shown[:300])))
    return broken


def _child(orders: Connection, large: int) -> None:
    """Try the seeds of each order; say each seed before it is tried, so that a killed child names its case."""
    maker, kinds = Maker(), registry()
    for seed in range(3):  # what is imported and kept once belongs to no case
        maker.case(seed).load(kinds)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a file of the kernel
        pages = int(statm.read().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + large
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for seeds in iter(orders.recv, None):
        for seed in seeds:
            orders.send((seed, None))
            orders.send((seed, _tried(maker.case(seed), kinds)))
        orders.send((None, None))


def _tried(case: Case, kinds: Mapping[str, type[Kind]]) -> dict[str, Any]:
    """Load one case and say what came of it."""
    used = time.process_time()
    spent = int(used + SLOW * 8) + 1  # the kernel ends a child that goes on for ever, in whatever code it is
    resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
    broken: list[tuple[str, str]] = []
    loaded = False
    try:
        loaded, found = case.load(kinds)
    except MemoryError:
        broken.append(("larger than 200 MB", ""))
    except Exception as error:  # noqa: BLE001 - any exception is the finding
        broken.append(("exceptions", f"{type(error).__name__}: {error} {case.files[case.path][:2000]!r}"))
    else:
        used = time.process_time() - used
        if used >= SLOW and used / _slowed() >= SLOW:
            broken.append(("slower than 2 s", f"{used:.1f} s"))
        broken += judge(case, found, loaded=loaded)
    return {"name": case.name, "loaded": loaded, "broken": broken}


def _slowed() -> float:
    """How many times slower this core is now than one that is left alone: a shared one is no slow loader."""
    began = time.process_time()
    for _ in range(_LOOP):
        pass
    return max(1.0, (time.process_time() - began) / _LOOP_TAKES)


class _Worker:
    """A child, replaced when a case ends it."""

    def __init__(self, large: int) -> None:
        self._large = large
        self._started = self._start()

    def _start(self) -> tuple[Connection, Any]:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(theirs, self._large), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def order(self, seeds: list[int]) -> None:
        """Hand over seeds."""
        self._started[0].send(seeds)

    def results(self, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """What came of them; a case that ended its child is a result as well, and the rest goes to a new child."""
        while True:
            pipe, process = self._started
            at = None
            try:
                while pipe.poll(_HANGS):
                    seed, result = pipe.recv()
                    if seed is None:
                        return
                    at = seed
                    if result is not None:
                        yield seed, result
                        at, seeds = None, [other for other in seeds if other != seed]
                process.kill()
            except (EOFError, ConnectionResetError):
                pass
            process.join()
            dead = seeds[0] if at is None else at
            name = "slower than 2 s" if process.exitcode in {-24, -9} else "exceptions"
            yield dead, {"name": "?", "loaded": False, "broken": [(name, f"the child ended with {process.exitcode}")]}
            seeds = [other for other in seeds if other != dead]
            self._started = self._start()
            self.order(seeds)

    def close(self) -> None:
        """End the child."""
        pipe, process = self._started
        process.kill()
        process.join()
        pipe.close()


def run(count: int, rng: random.Random, *, large: int = LARGE) -> Figures:
    """Try so many cases on all processors."""
    figures = Figures()
    for name in _PROMISES:
        figures.count(name, 0)
    inventory()
    workers = [_Worker(large) for _ in range(os.cpu_count() or 1)]
    try:
        while figures.tried < count and not box_closed():
            orders = []
            left = count - figures.tried
            for worker in workers:
                seeds = [rng.randrange(2**32) for _ in range(min(BATCH, left))]
                left -= len(seeds)
                worker.order(seeds)
                orders.append((worker, seeds))
            for worker, seeds in orders:
                for seed, result in worker.results(seeds):
                    _count(figures, seed, result)
    finally:
        for worker in workers:
            worker.close()
    return figures


def _count(figures: Figures, seed: int, result: Mapping[str, Any]) -> None:
    figures.tried += 1
    figures.count("loaded" if result["loaded"] else "refused")
    figures.count(f"of {result['name']}")
    for name, what in result["broken"]:
        figures.check(False, name, f"{result['name']}, case {seed}: {what}")  # noqa: FBT003 - it reads like an assert
