"""What every test of drctl shares: the `needs` marker, a state folder of its own, and hypothesis without a stopwatch.

`@pytest.mark.needs("strace")` names a Debian package. Where its program is missing the test is left out, and the last
lines of the run name and count what was left out; with `DRCTL_TEST_REQUIRE_ALL=1` (as in `.ci/run`) it fails instead.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # it has no types

# A deadline would be a verdict by absolute time: a slow machine is no defect.
settings.register_profile("drctl", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("drctl")

LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()
MISSING = pytest.StashKey[str]()


def base_python() -> str:
    """The Python that this environment was made from: the environment itself has no pip."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _program(name: str) -> Callable[[], bool]:
    # sshd lies in a folder that an ordinary user's PATH does not have
    return lambda: (
        shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])) is not None
    )


def _pip() -> bool:
    return subprocess.run([base_python(), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


PACKAGES: dict[str, Callable[[], bool]] = {
    "busybox": _program("busybox"),
    "chromium": _program("chromium"),
    "git": _program("git"),
    "openssh-client": _program("ssh"),
    "openssh-server": _program("sshd"),
    "python3-pip": _pip,
    "strace": _program("strace"),
    "sudo": _program("sudo"),
}


@cache
def _is_there(package: str) -> bool:
    return PACKAGES[package]()


def _missing(item: pytest.Item) -> str | None:
    for mark in item.iter_markers("needs"):
        for package in mark.args:
            if package not in PACKAGES:
                known = ", ".join(sorted(PACKAGES))
                raise pytest.UsageError(
                    f"{item.nodeid}: needs({package!r}) is not known; tests/conftest.py has: {known}"
                )
            if not _is_there(package):
                return str(package)
    return None


SPREAD = frozenset({"test_campaigns.py", "test_sabotage.py"})
"""Files whose tests are long and share nothing: they go to whichever worker is free."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # see the import
    """A file stays with one worker, so that its fixtures are made once.

    Said here and not by groups: pytest-xdist 3.8 loses its groups with pytest 9.2 (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if Path(file).name in SPREAD else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out: list[tuple[str, str]] = []
    deselected = []
    for item in items:
        package = _missing(item)
        if package is None:
            continue
        if os.environ.get("DRCTL_TEST_REQUIRE_ALL") == "1":
            item.stash[MISSING] = package
        else:
            left_out.append((package, item.nodeid))
            deselected.append(item)
    config.stash[LEFT_OUT] = left_out
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
    if hasattr(config, "workeroutput"):  # under pytest-xdist only the workers collect
        config.workeroutput["left_out"] = left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:  # noqa: ARG001 - pytest-xdist names the arguments
    for package, nodeid in getattr(node, "workeroutput", {}).get("left_out", []):
        config: pytest.Config = node.config  # type: ignore[attr-defined] # every worker reports the same list
        known = config.stash.setdefault(LEFT_OUT, [])
        if (package, nodeid) not in known:
            known.append((package, nodeid))


def pytest_runtest_setup(item: pytest.Item) -> None:
    package = item.stash.get(MISSING, None)
    if package is not None:
        pytest.fail(f"needs the Debian package {package}, and DRCTL_TEST_REQUIRE_ALL=1 allows no test to be left out")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, [])
    if not left_out:
        return
    terminalreporter.section("left out, for want of a program")
    for package, count in sorted(Counter(package for package, _ in left_out).items()):
        terminalreporter.line(f"{count} {'test needs' if count == 1 else 'tests need'} {package}:")
        for nodeid in sorted(nodeid for name, nodeid in left_out if name == package):
            terminalreporter.line(f"  {nodeid}")


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the state folder or the settings of the person who runs it; processes inherit this."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("DRCTL_") and not name.startswith("DRCTL_TEST_"):
                patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder
