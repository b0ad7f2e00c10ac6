"""A small builder of runs for the views: events in, entries, kept outputs and the fold out."""

import dataclasses
import hashlib
from typing import Any

from drctl.core import events as ev
from drctl.core.fold import Entry, RunState
from drctl.core.frozen import Frozen
from drctl.core.integrity import KeyUse, Verdict, Verification
from drctl.core.values import Time

START = Time.parse("2026-11-22T02:11:00Z")
HOST_KEY = "SHA256:Zm9yLXRoZS10ZXN0cy1vbmx5LW5vLXJlYWwta2V5"
SECOND = 1_000_000


class RunBuilder:
    """Collects entries; every event happens some seconds after the last."""

    def __init__(self, *, start: Time = START) -> None:
        self.entries: list[Entry] = []
        self.outputs: dict[str, bytes] = {}
        self._now = start.micros
        self._boot = "b00t"

    @property
    def now(self) -> Time:
        return Time(self._now)

    def add(self, event: ev.Event, after: float = 1.0, actor: str = "ops") -> Entry:
        """Add an event `after` seconds; it goes through the record form, as a real one does."""
        self._now += int(after * SECOND)
        decoded = ev.decode(event.TYPE, ev.encode(event))
        entry = Entry(
            seq=len(self.entries),
            at=self.now,
            mono=self._now - START.micros + 5 * SECOND,
            boot=self._boot,
            actor=actor,
            event=decoded,
        )
        self.entries.append(entry)
        return entry

    def reboot(self) -> None:
        """The control node crashes: from now on another boot id."""
        self._boot = "b00t2"

    def keep(self, text: str | bytes) -> str:
        """Keep an output; gives its digest."""
        data = text.encode() if isinstance(text, str) else text
        digest = hashlib.sha256(data).hexdigest()
        self.outputs[digest] = data
        return digest

    def look(
        self,
        path: str,
        host: str = "",
        outcome: str = "ok",
        *,
        text: str = "",
        after: float = 2.0,
        **more: Any,  # noqa: ANN401 - fields of events
    ) -> None:
        """A look: begun, command, end."""
        self.add(
            ev.StepStarted(
                path=path, host=host, kind=str(more.pop("kind", "shell")), text=text, title=str(more.pop("title", ""))
            ),
            0.5,
        )
        self.add(ev.CommandRan(path=path, host=host, state="complete", host_key=HOST_KEY if host else ""), after / 2)
        self.add(ev.StepFinished(path=path, host=host, outcome=outcome, **more), after / 2)

    def act(self, path: str, host: str, *, text: str, attempt: int = 1, after: float = 3.0, **more: Any) -> None:  # noqa: ANN401 - fields of events
        """An act: intent, evidence, end."""
        begun = {
            n: more.pop(n) for n in ("effect", "title", "kind", "no_return", "undo", "restore", "role") if n in more
        }
        out = more.pop("out", {})
        exit_ = more.pop("exit", 0)
        start: dict[str, Any] = {"effect": "once", "role": ev.Role.ACT, "kind": "shell"} | begun
        self.add(
            ev.StepStarted(path=path, host=host, attempt=attempt, text=text, digest="d1" * 32, key="k1" * 32, **start),
            0.5,
        )
        self.add(
            ev.CommandRan(
                path=path,
                host=host,
                attempt=attempt,
                state="ran",
                exit=exit_,
                out=out,
                host_key=HOST_KEY,
                elapsed_us=int(after * SECOND),
            ),
            after - 0.2,
        )
        end: dict[str, Any] = {"outcome": "ok", "effect_there": True, "elapsed_us": int(after * SECOND)} | more
        self.add(ev.StepFinished(path=path, host=host, attempt=attempt, role=start["role"], **end), 0.2)

    def phase(self, path: str, title: str = "") -> None:
        """A phase begins."""
        self.add(ev.BlockStarted(path=path, form="phase", title=title), 0.1)

    def over(self, path: str, outcome: str = "ok", because: str = "") -> None:
        """A phase or block ends."""
        self.add(ev.BlockFinished(path=path, outcome=outcome, because=because), 0.1)

    def state(self) -> RunState:
        """The fold."""
        return RunState.of(self.entries)

    def get(self, digest: str) -> bytes:
        """A kept output, as a run folder gives it."""
        return self.outputs[digest]


def opened(builder: RunBuilder, **more: Any) -> None:  # noqa: ANN401 - fields of events
    """The first records."""
    frozen = Frozen(
        runbook_file="invoice-outage.yaml",
        files={},
        inventory_file="lab.yaml",
        inventory_files={},
        language="en",
        inputs={
            "fault_at": {"$time": START.micros - 95 * SECOND},
            "reporter": "mei",
            "severity": "sev2",
            "scope": "all companies; invoices cannot be issued",
            "password": {"$secret": "env:PW"},
        },
    )
    base = ev.RunOpened(
        uid="0123456789abcdef0123456789abcdef",
        id="8F2KQ",
        runbook="invoice-outage",
        title="Bring the invoice system back",
        environment="lab",
        inventory="lab",
        operator="ops",
        node="control-1",
        version="0.1.0",
        plan_digest=frozen.digest,
        plan_parts=1,
        rto_us=15 * 60 * SECOND,
        rpo_us=5 * 60 * SECOND,
        language="en",
        zone="Asia/Shanghai",
    )
    builder.add(dataclasses.replace(base, **more), 0)
    builder.add(ev.PlanPart(index=0, of=1, text=frozen.text()), 0)
    builder.add(
        ev.PreflightFinished(phase="*", ok=True, hosts=("db1", "db2", "gw1"), warnings=("db1: connection refused",))
    )


def audit(verdict: Verdict = Verdict.INTACT_NOT_ANCHORED, **more: Any) -> Verification:  # noqa: ANN401 - fields of events
    """What verifying a journal might have said."""
    found = Verification(
        verdict=verdict,
        uid="0123456789abcdef0123456789abcdef",
        records=80,
        signed=80,
        last_checkpoint=79,
        first_bad=None,
        bad_count=0,
        closed=True,
        head="ab" * 32,
        root="cd" * 32,
        anchored=0,
        notices=(),
        unknown_types=(),
        keys=(KeyUse(seq=0, public=b"k" * 32, pinned=False),),
    )
    return dataclasses.replace(found, **more)
