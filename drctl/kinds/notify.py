"""The kind `notify`: tells people."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, ClassVar

from drctl.core.kind import ActKind, Change, Criterion, FieldError, Outputs, Place, Preview, Seen, Verdict, arg
from drctl.core.nouns import dataclass
from drctl.core.outcomes import Effect
from drctl.core.ports import Act, Facts, Message, Probe, Reach, Receipt
from drctl.core.values import Duration, Map

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(ActKind):
    """Sends a text to channels of the inventory, once each, and keeps what each channel answered.

    `receipts` has one entry a channel: `{channel sent doubt because}`. `sent` is true only on a positive answer; with
    `doubt` the message may have gone out. A channel that does not work fails the step only with `required: true`: bad
    news must not stop a recovery. A required message in doubt leaves the step in doubt, since no channel can be asked.
    Each message carries a key that is the same if it is ever sent again, so that a receiver can drop a second copy.
    """

    NAME: ClassVar[str] = "notify"
    PLACE: ClassVar[Place] = Place.NONE
    OUTPUTS: ClassVar[Mapping[str, str]] = {"receipts": "list", "delivered": "bool", "enough": "bool"}
    CRITERIA: ClassVar[tuple[Criterion, ...]] = (
        Criterion(text="enough", fields=frozenset({"enough", "delivered", "receipts"})),
    )
    EFFECT: ClassVar[Effect | None] = Effect.ONCE
    TIMEOUT: ClassVar[Duration | None] = Duration.parse("30s")
    CLAIMED: ClassVar[bool] = False
    VERIFIES: ClassVar[bool] = False
    NO_INVERSE: ClassVar[str] = "a message cannot be called back"
    EXAMPLE: ClassVar[str] = """
- id: tell
  do: notify
  with: {to: [oncall], subject: Invoices are being restored, text: "Run ${{ run.id }} began; next word in 30 minutes."}
"""

    to: tuple[str, ...] = arg(type="list", doc="Channels of the inventory.", entry="channel")
    text: str = arg(type="text", doc="What to say.")
    subject: str = arg(type="text", doc="Subject; the first line of the text if not given.", default="")
    required: bool = arg(type="bool", doc="Fail if a channel does not take it.", default=False)

    def __post_init__(self) -> None:
        if not self.to or len(set(self.to)) != len(self.to):
            raise FieldError("to", "give at least one channel, each once")
        if not self.text.strip():
            raise FieldError("text", "there is nothing to say")

    def preview(self, probe: Probe) -> Preview:
        """See whether the inventory has the channels; nothing is sent."""
        known = set(probe.facts.channels())
        strange = [channel for channel in self.to if channel not in known]
        if strange:
            return Preview(change=Change.CANNOT_TELL, because=f"the inventory has no channel {', '.join(strange)}")
        return Preview(change=Change.WOULD_CHANGE, because=f"would tell {', '.join(self.to)}")

    def execute(self, act: Act) -> Outputs:
        """Send to each channel in turn; the limit is shared among them.

        A required message that may have gone out, and may not, is no complete reply: the step is then in doubt.
        """
        started = act.probe.clock.monotonic()
        receipts = []
        for index, channel in enumerate(self.to):
            left = act.probe.timeout.micros - (act.probe.clock.monotonic() - started).micros
            share = Duration(max(left, 0) // (len(self.to) - index))
            receipts.append(act.notifier.send(self._message(channel, act.key), share))
        delivered = all(receipt.sent for receipt in receipts)
        because = "; ".join(f"{receipt.channel}: {_words(receipt)}" for receipt in receipts)
        doubt = self.required and any(receipt.doubt and not receipt.sent for receipt in receipts)
        return Outputs(
            values={
                "receipts": tuple(_entry(receipt) for receipt in receipts),
                "delivered": delivered,
                "enough": delivered or not self.required,
            },
            reach=Reach.TIMEOUT if doubt else Reach.COMPLETE,
            because=because,
        )

    def verify(self, probe: Probe) -> Verdict:  # noqa: ARG002 - the contract's parameter
        """No channel can be asked what it took."""
        return Verdict(seen=Seen.UNKNOWN, because="no channel can be asked whether a message went out")

    def describe(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """The message as it is sent."""
        return f"to: {', '.join(self.to)}\nsubject: {self._subject()}\n\n{self.text}"

    def digest(self, facts: Facts) -> str:  # noqa: ARG002 - the contract's parameter
        """SHA-256 over channels, subject and text."""
        text = json.dumps([self.to, self._subject(), self.text], ensure_ascii=True)
        return hashlib.sha256(b"drctl/message/v1\n" + text.encode()).hexdigest()

    def _subject(self) -> str:
        return self.subject or self.text.strip().splitlines()[0]

    def _message(self, channel: str, key: str) -> Message:
        own = hashlib.sha256(f"{key}\n{channel}".encode()).hexdigest()[:32]  # longer, and a mail header is folded
        return Message(channel=channel, subject=self._subject(), text=self.text, key=own)


def _entry(receipt: Receipt) -> Map:
    return Map({"channel": receipt.channel, "sent": receipt.sent, "doubt": receipt.doubt, "because": receipt.because})


def _words(receipt: Receipt) -> str:
    if receipt.sent:
        return "sent"
    return f"{'in doubt' if receipt.doubt else 'not sent'}, {receipt.because or 'no reason given'}"
