"""Load: a generated runbook to a value of the model, against PyYAML's CSafeLoader making plain dicts of the same text.

Unit: CPU and wall milliseconds for one load, in one warm process. The loader does more than its peer: strict YAML 1.2
with positions, every name and reference resolved, expressions and scripts parsed, types checked.
"""

import gc
import time
from collections.abc import Callable, Mapping

import yaml

from bench.measure import Report, Sample, Subject, interleaved
from drctl.core.kind import Kind
from drctl.kinds import registry
from drctl.loading import load_runbook

NAME = "load"
ROUNDS = 5
SIZES = (300, 3000)
_PHASE = 25
_STEPS = (
    """{{id: s{n}, do: http.check, with: {{url: "${{{{ vars.url }}}}/{n}"}}, observe: true}}""",
    """{{id: s{n}, title: "Look {n}", run: "df -P / | tail -1", effect: read, timeout: 10s}}""",
    """{{id: s{n}, run: 'echo "$was"', effect: read, with: {{env: {{was: "${{{{ steps.s{before}.stdout }}}}"}}}}}}""",
    """{{id: s{n}, do: set, with: {{free: "${{{{ steps.s{before}.exit }}}}"}}, when: steps.s{before}.ok}}""",
    """{{id: s{n}, do: check, expect: "default(steps.s{before}.free, 0) == 0 or vars.limit > {n}"}}""",
)


def run(*, small: bool, rounds: int) -> Report:
    """Measure; small takes 25 steps."""
    report, kinds = Report(), registry()
    for steps in (_PHASE,) if small else SIZES:
        data = runbook(steps).encode()
        report.rows += interleaved(f"{steps} steps, {len(data):,} bytes", _subjects(data, kinds), rounds)
    return report


def _subjects(data: bytes, kinds: Mapping[str, type[Kind]]) -> list[Subject]:
    def ours() -> None:
        found = load_runbook("x.yaml", lambda _: data, kinds).diagnostics
        if found:  # a refused runbook is quick for the wrong reason
            raise RuntimeError(f"the generated runbook is not clean: {found[:3]}")

    def plain() -> object:
        return yaml.load(data, Loader=yaml.CSafeLoader)

    return [
        Subject(name="drctl load", run=lambda: _timed(ours)),
        Subject(name="yaml.CSafeLoader", run=lambda: _timed(plain), peer=True),
    ]


def runbook(steps: int) -> str:
    """A runbook of so many steps in phases of 25; a step's forms are those of real ones, and refer back."""
    lines = ["runbook: generated", "vars: {url: http://127.0.0.1:1, limit: 1000000}", "phases:"]
    for n in range(steps):
        if n % _PHASE == 0:
            lines += [f"  - id: p{n // _PHASE}", f'    title: "Phase {n // _PHASE}"', "    steps:"]
        lines.append("      - " + _STEPS[n % len(_STEPS)].format(n=n, before=n - 1))
    return "\n".join(lines) + "\n"


def _timed(load: Callable[[], object]) -> Sample:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    load()
    return {"CPU ms": (time.process_time() - cpu) * 1e3, "wall ms": (time.perf_counter() - wall) * 1e3}
