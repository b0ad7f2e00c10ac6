"""Mutated runbooks and inventories: never an exception, never slow, never large, every refusal at its place."""

import random
import resource
import time

from drctl.core.diagnostics import Diagnostic
from drctl.core.kind import Kind
from drctl.kinds import registry
from drctl.loading import load_inventory, load_runbook, render
from tests.campaign.registry import Figures, box_closed
from tests.loading.documents import VALID, inventory, read
from tests.loading.mutations import as_yaml, mutated_text, mutated_tree, parse

NAME = "yaml-fuzz"
ROWS = ("R10",)
COUNT = 100_000
CI_COUNT = 10_000
_SLOW = 2.0  # seconds of CPU for one document
_LARGE = 200 * 1024  # KiB the process may grow by over all of them
_WEIGHTS = {"valid/first.yaml": 8, "valid/everything.yaml": 1}  # small documents are quick, and more of them are tried
_SPECIAL = (
    "0 exceptions",
    "0 slower than 2 s",
    "0 without a reason",
    "0 places outside the file",
    "0 lines that cannot be shown",
)


def _load(data: bytes, kinds: dict[str, type[Kind]], *, hosts: bool) -> tuple[bool, tuple[Diagnostic, ...]]:
    if hosts:
        loaded = load_inventory("x.yaml", lambda path: data if path == "x.yaml" else read("known_hosts"))
        return loaded.value is not None, loaded.diagnostics
    runbook = load_runbook("x.yaml", lambda path: data if path == "x.yaml" else read(f"valid/{path}"), kinds, inventory())
    return runbook.value is not None, runbook.diagnostics


def _judge(data: bytes, found: tuple[Diagnostic, ...], figures: Figures, case: str, *, loaded: bool) -> None:
    figures.count("loaded" if loaded else "refused")
    figures.check(loaded or bool(found), "without a reason", case)
    lines = data.decode("utf-8", "replace").split("\n")
    for one in found:
        where = one.where
        inside = 1 <= where.line <= len(lines) + 1 and where.column >= 1
        whole_file = where.line == 0 and where.column == 0 and one.code in {"E100", "E107", "E109"}
        figures.check(inside or whole_file, "places outside the file", f"{case}: {where} {one.code}")
    if found:
        shown = render(found[0], data.decode("utf-8", "replace"))
        clean = all(character.isprintable() or character == "\n" for character in shown)
        figures.check(clean, "lines that cannot be shown", f"{case}: {shown!r}")


def run(count: int, rng: random.Random) -> Figures:
    """Change documents that load: in their text, in their tree, or both."""
    figures = Figures()
    for name in _SPECIAL:
        figures.count(name.split(" ", 1)[1], 0)
    kinds = dict(registry())
    texts = {path: read(path) for path in (*VALID, "inventory.yaml")}
    trees = {path: parse(text) for path, text in texts.items()}
    donors = list(trees.values())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while figures.tried < count and not box_closed():
        seed = rng.randrange(2**32)
        own = random.Random(seed)
        path = own.choices(list(texts), [_WEIGHTS.get(path, 2) for path in texts])[0]
        data = texts[path]
        if own.random() < 0.5:
            data = as_yaml(mutated_tree(trees[path], own, donors))
        if own.random() < 0.6:
            data = mutated_text(data, own)
        figures.tried += 1
        case = f"{path}, case {seed}"
        begun = time.process_time()
        try:
            loaded, found = _load(data, kinds, hosts=path == "inventory.yaml")
            _judge(data, found, figures, case, loaded=loaded)
        except Exception as error:  # noqa: BLE001 - any exception is the finding
            figures.check(False, "exceptions", f"{case}: {type(error).__name__}: {error} {data!r}")  # noqa: FBT003
        figures.check(time.process_time() - begun < _SLOW, "slower than 2 s", case)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    figures.check(grown < _LARGE, "larger than 200 MiB", f"{grown} KiB")
    return figures
