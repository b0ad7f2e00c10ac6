"""Run a bench; the exit code is 1 when something it ran did not end as it must."""

import argparse
import importlib
import pkgutil
import sys
from types import ModuleType

import bench
from bench.measure import as_json, conditions, text


def benches() -> dict[str, ModuleType]:
    """Every bench by name: the modules of this package that have a NAME."""
    names = [info.name for info in pkgutil.iter_modules(bench.__path__) if not info.name.startswith("_")]
    modules = [importlib.import_module(f"bench.{name}") for name in names]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("name", nargs="?", help="which bench")
    parser.add_argument("--rounds", type=int, help="how many rounds (each bench has a default)")
    parser.add_argument("--small", action="store_true", help="the smallest size: does the bench work at all?")
    parser.add_argument("--only", metavar="PART", help="one part of a bench that has parts")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--list", action="store_true", help="which benches there are")
    asked = parser.parse_args()
    try:
        known = benches()
    except ModuleNotFoundError as error:
        parser.error(f"the benches need the package {error.name}: pip install 'drctl[lab]'")
    if asked.list:
        for name, module in known.items():
            print(f"{name:<10} {(module.__doc__ or '').partition(chr(10))[0]}")
        return 0
    if asked.name not in known:
        parser.error(f"no bench {asked.name!r}; there are: {', '.join(known)}")
    module, found = known[asked.name], conditions()
    parts = getattr(module, "PARTS", {})
    if asked.only and asked.only not in parts:
        parser.error(f"{asked.name} has no part {asked.only!r}; there are: {', '.join(parts) or 'none'}")
    part = {"only": asked.only} if asked.only else {}
    report = module.run(small=asked.small, rounds=asked.rounds or (1 if asked.small else module.ROUNDS), **part)
    document = report.document(asked.name, found | {"load_1m_after": conditions()["load_1m"]})
    print(as_json(document) if asked.json else text(document))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
