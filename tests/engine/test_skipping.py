"""What is skipped stays skipped, also when the writer dies in the middle of saying so."""

import pytest

from drctl.core.ports import PortState
from drctl.errors import Exit
from tests.engine.rig import Crash, Rig

SKIPPING = """
runbook: skipping
inputs: {way: {type: choice, of: [a, b], default: a}}
phases:
  - id: first
    steps:
      - id: cut
        when: inputs.way == 'b'
        do: fence.host
        on: db1
        with:
          methods: [{run: stop-db1, timeout: 5s}]
          proof: [{do: tcp.check, with: {host: db1, port: 5432}, expect: refused}]
      - id: block
        when: inputs.way == 'b'
        steps:
          - {id: inner, on: db1, run: change-db1, effect: idempotent}
      - {id: kept, on: db2, run: change-db2, effect: idempotent}
      - {id: told, do: check, expect: "steps.block.outcome == 'skipped' and steps.cut.outcome == 'skipped'"}
  - id: other
    when: inputs.way == 'b'
    steps:
      - {id: never, on: db1, run: change-db1-too, effect: idempotent}
"""


def skipping() -> Rig:
    rig = Rig(SKIPPING)
    rig.host("db1").down = True  # nothing of what is skipped may need it
    rig.host("db2").on("change-db2", 0)
    rig.world.dialer.ports[("db1", 5432)] = PortState.REFUSED
    return rig


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_record_nothing_that_is_skipped_is_entered(after: bool) -> None:  # noqa: FBT001 - a table's column
    whole = skipping()
    assert whole.run() is Exit.DONE
    for seq in range(1, len(whole.lines)):
        rig = skipping()
        rig.crash_at(seq, after=after)
        with pytest.raises(Crash):
            rig.run()
        if rig.lines[-1][1] != "run_closed":
            assert rig.resume() is Exit.DONE, f"killed at record {seq}"
        assert rig.host("db1").asked == [], f"killed at record {seq}"
        assert rig.host("db2").effects == ["change-db2"]
        assert rig.state.blocks["other"].outcome is not None
        assert rig.state.blocks["other"].outcome.value == "skipped"
        assert rig.outcome("cut") == "skipped"
