"""The campaign of link faults can fail: broken transports that it must notice."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from drctl.adapters import claim_text, ssh_transport
from drctl.adapters.carrier import Carried, End, Order
from drctl.adapters.claims import ClaimedShell
from drctl.adapters.ssh_transport import Link
from drctl.core.ports import Claim, ClaimReply, ClaimState, Command, Reach, Reply
from tests.campaign import ssh_faults
from tests.campaign._ssh_faults import FAULTS
from tests.campaign.test_mutations import take_a_lost_link_for_success

Patch = pytest.MonkeyPatch


def take_a_lost_link_for_one_that_never_was(patch: Patch) -> None:
    honest = Link.exchange

    def hopeful(self: Link, order: Order, seconds: float) -> Carried:
        carried = honest(self, order, seconds)
        return replace(carried, end=End.NO_LINK) if carried.end is End.LOST else carried

    patch.setattr(Link, "exchange", hopeful)


def say_of_every_host_that_it_refused(patch: Patch) -> None:
    patch.setattr(ssh_transport, "_said", lambda _host, _error: "refused: nothing listens there")


def say_that_it_was_ended(patch: Patch) -> None:
    def claimed(_self: ClaimedShell, _claim: Claim, _command: Command) -> ClaimReply:
        reply = Reply(reach=Reach.TIMEOUT, because="no end within its limit")
        return ClaimReply(state=ClaimState.KILLED, reply=reply, gone=True)

    patch.setattr(ClaimedShell, "kill", claimed)


def lose_the_exit_code(patch: Patch) -> None:
    wrapper = claim_text._wrapper()
    assert "case $dr_rc in '' | pending)" in wrapper
    patch.setattr(
        claim_text, "_wrapper", lambda: wrapper.replace("case $dr_rc in '' | pending)", "case $dr_rc in [0-9]*)")
    )


def read_output_as_text(patch: Patch) -> None:
    honest = claim_text.answer

    def lossy(mark: str, out: bytes, held: claim_text.Held) -> claim_text.Answer | claim_text.Held:
        answer = honest(mark, out, held)
        return replace(answer, out=answer.out.decode("utf-8", "replace").encode())

    patch.setattr(claim_text, "answer", lossy)


def start_again_after_a_loss(patch: Patch) -> None:
    wrapper, number = claim_text._wrapper(), iter(range(10**6))
    patch.setattr(claim_text, "_wrapper", lambda: wrapper.replace("/claims/$dr_k", f"/claims/${{dr_k}}x{next(number)}"))


@pytest.mark.parametrize(
    ("sabotage", "fault", "promise"),
    [
        (take_a_lost_link_for_success, "reset away", ssh_faults.OK),
        (take_a_lost_link_for_one_that_never_was, "reset away", ssh_faults.NEVER),
        (say_of_every_host_that_it_refused, "banner stall", ssh_faults.TYPED),
        (say_that_it_was_ended, "timed out", ssh_faults.LEFT),
        (lose_the_exit_code, "reset mid", ssh_faults.LOST),
        (read_output_as_text, "bad utf8", ssh_faults.OUTPUT),
        (start_again_after_a_loss, "reset mid", ssh_faults.TWICE),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)).replace(" ", "-"),
)
def test_a_broken_transport_is_noticed(sabotage: Callable[[Patch], None], fault: str, promise: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssh_faults, "FAULTS", {fault: FAULTS[fault]})
        patch.setattr(ssh_faults, "measure", lambda *_: None)
        sabotage(patch)
        figures = ssh_faults.run(5, random.Random(1))
    assert figures.numbers[promise], figures.text()
