"""What of an output is kept: where it may break off inside a secret, its end is masked as a beginning."""

from __future__ import annotations

import pytest

from drctl.core.whole import Whole
from drctl.engine.looks import Looks, Pen
from drctl.engine.recorder import Recorder
from tests.engine.rig import Rig
from tests.engine.test_acts import book


@pytest.mark.parametrize(("ended", "cut", "by"), [(True, False, "end"), (False, False, "cut"), (True, True, "cut")])
def test_an_output_without_an_end_of_its_own_is_masked_as_one_that_was_cut(*, ended: bool, cut: bool, by: str) -> None:
    rig = Rig(book("{id: act, on: db1, run: do-it, effect: idempotent}"))
    context = rig.context()
    pen = Pen(mask=lambda _: "end", mask_begin=lambda _: "cut")
    looks = Looks(context, Recorder(rig.journal, rig.state, actor="li"), rig.world, pen, lambda _: False)
    whole = {"stdout": Whole(size=9)} if cut else {}
    kept = looks.keep({"stdout": b"some text"}, whole, ended=ended)
    assert context.store.get(kept["out"]["stdout"]) == by.encode()
    assert kept["cut"] is cut
