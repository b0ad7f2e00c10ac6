"""What tests of shells say to them, and how they wait for what comes of it."""

import time
from collections.abc import Callable

from drctl.core.inventory import SecretRef
from drctl.core.ports import Claim, Command
from drctl.core.values import Duration, Secret

EFFECT = "echo x >>$HOME/effects; echo ran"


def command(script: str = "true", seconds: float = 30, **more: object) -> Command:
    return Command(script=script, timeout=Duration(int(seconds * 1e6)), **more)  # type: ignore[arg-type] # fields of tests


def claim(key: str = "k1") -> Claim:
    return Claim(key=key, run="uid-a", run_id="7K3QF", operator="li", epoch=1, holder="SHA256:a")


def no_secret(ref: SecretRef) -> Secret:
    raise AssertionError(f"nothing asked for {ref}")


def until(there: Callable[[], object], what: str) -> None:
    for _ in range(6000):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")
