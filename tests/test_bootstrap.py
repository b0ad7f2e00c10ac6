"""The bootstrap, run for real in a small checkout: real venv, real pip, wheels made here, and no network.

The installer uv is a stand-in that pip fetches like the real one; it logs how it was called and can be told to fail or
to hang. The real uv, the real locks and the real index are what `.ci/run` goes through.
"""

import ast
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import base_python

SOURCE = Path(__file__).resolve().parent.parent / "drctl" / "bootstrap.py"
WAIT = 60  # seconds; a guard against hanging, no verdict

FAKE_UV = """\
#!python
import json, os, signal, sys, zipfile
python = sys.argv[sys.argv.index("--python") + 1]
site = os.path.join(os.path.dirname(python), "..", "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
seen = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "HTTP"))}
with open(os.environ["FAKE_UV_LOG"], "a") as log:
    log.write(json.dumps({"argv": sys.argv[1:], "env": seen}) + "\\n")
mode = os.environ.get("FAKE_UV", "install")
if mode == "hang":
    open(os.path.join(site, "half_written.py"), "w").close()
    print("Downloading half a package", flush=True)
    signal.pause()
if mode != "install":
    sys.exit(mode)
lock = open(sys.argv[sys.argv.index("-r") + 1]).read().split()
for pin in (word.replace("==", "-") for word in lock if "==" in word):
    zipfile.ZipFile(os.path.join(os.environ["UV_FIND_LINKS"], pin + "-py3-none-any.whl")).extractall(site)
"""
MAIN = """\
import json, os, sys
import greeting
print(json.dumps({"argv": sys.argv[1:], "prefix": sys.prefix, "cwd": os.getcwd(), "greeting": greeting.TEXT}))
"""


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> str:
    """Write a wheel; returns its line for a lock file."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{entry},,\n" for entry in [*files, *meta, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for entry, text in {**files, **meta, f"{info}/RECORD": record}.items():
            member = zipfile.ZipInfo(entry)
            member.external_attr = (stat.S_IFREG | 0o755) << 16
            wheel.writestr(member, text)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@dataclass(kw_only=True)
class Checkout:
    """A small checkout with the real bootstrap, and the machine around it."""

    folder: Path
    root: Path
    wheels: Path
    env: dict[str, str] = field(default_factory=dict)

    def lock(self, name: str, *lines: str) -> None:
        (self.root / "drctl" / "_lock" / f"{name}.txt").write_text("".join(lines))

    def greeting(self, text: str, version: str = "1.0") -> str:
        return make_wheel(self.wheels, "greeting", version, {"greeting.py": f"TEXT = {text!r}\n"})

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [base_python(), "-m", "drctl.bootstrap", *args],
            cwd=self.root,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, **env: str) -> tuple[int, str, str]:
        with self.start(*args, **env) as process:
            out, err = process.communicate(timeout=WAIT)
        return process.returncode, out, err

    def works(self, *args: str, **env: str) -> dict[str, Any]:
        code, out, err = self.run(*args, **env)
        assert code == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer

    def installs(self) -> list[dict[str, Any]]:
        log = Path(self.env["FAKE_UV_LOG"])
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, wheels, home = tmp_path / "check out", tmp_path / "wheels", tmp_path / "home"
    for folder in (root / "drctl" / "_lock", wheels, home):
        folder.mkdir(parents=True)
    shutil.copy(SOURCE, root / "drctl" / "bootstrap.py")
    (root / "drctl" / "__init__.py").touch()
    (root / "drctl" / "__main__.py").write_text(MAIN)
    (root / "pyproject.toml").touch()
    foreign = ("PIP_", "UV_", "XDG_", "PYTHON", "SSL_", "HTTP", "http")  # this machine's own settings
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    made = Checkout(folder=tmp_path, root=root, wheels=wheels)
    made.env = {
        **kept,
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "FAKE_UV_LOG": str(tmp_path / "uv.log"),
    }
    made.lock("uv", make_wheel(wheels, "uv", "1.0", {"uv-1.0.data/scripts/uv": FAKE_UV}))
    made.lock("demo", made.greeting("hello"))
    pytest_stand_in = make_wheel(wheels, "pytest", "1.0", {"pytest/__init__.py": "", "pytest/__main__.py": MAIN})
    made.lock("test", made.greeting("hello"), pytest_stand_in)
    return made


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound, not listening: refused for as long as the test lasts
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


pytestmark = pytest.mark.needs("python3-pip")


def test_the_demo_starts_in_its_own_environment_with_its_arguments(checkout: Checkout) -> None:
    code, out, err = checkout.run("demo", "--fast", "two words")
    assert code == 0, err
    assert json.loads(out) == {
        "argv": ["lab", "demo", "--fast", "two words"],
        "prefix": str(checkout.root / ".venv"),
        "cwd": str(checkout.root),
        "greeting": "hello",
    }
    assert err.startswith(f"bootstrap: making {checkout.root / '.venv'}")
    (call,) = checkout.installs()
    assert {"--require-hashes", "--only-binary", "--compile-bytecode"} <= set(call["argv"])
    assert list((checkout.root / "drctl" / "__pycache__").glob("__main__*.pyc")), "drctl's own tree is compiled"


def test_the_installed_command_runs_drctl_from_anywhere(checkout: Checkout) -> None:
    checkout.works("run")
    drctl = checkout.root / ".venv" / "bin" / "drctl"
    done = subprocess.run([drctl, "a b"], cwd=checkout.folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["argv"] == ["a b"]


def test_a_second_run_touches_no_network_and_not_even_pip(checkout: Checkout) -> None:
    checkout.works("demo")
    broken = checkout.folder / "broken"
    (broken / "pip").mkdir(parents=True)
    (broken / "pip" / "__init__.py").write_text("raise SystemExit('pip was asked')")
    code, _, err = checkout.run("run", PYTHONPATH=str(broken))
    assert (code, err) == (0, "")
    assert len(checkout.installs()) == 1


def test_the_test_group_is_added_and_the_tests_run_in_the_checkout(checkout: Checkout) -> None:
    checkout.works("demo")
    answer = checkout.works("test", "-x")
    assert (answer["argv"], answer["cwd"]) == (["-x"], str(checkout.root))
    assert [call["argv"][-1].rsplit("/", 1)[-1] for call in checkout.installs()] == ["demo.txt", "test.txt"]
    for command in ("test", "demo"):
        assert checkout.run(command)[2] == ""


def test_env_prints_the_folder_and_starts_nothing(checkout: Checkout) -> None:
    code, out, _ = checkout.run("env")
    assert (code, out) == (0, f"{checkout.root / '.venv'}\n")


def test_a_changed_lock_rebuilds(checkout: Checkout) -> None:
    checkout.works("run")
    stray = next((checkout.root / ".venv").glob("lib/python*/site-packages")) / "stray.py"
    stray.touch()
    checkout.lock("demo", checkout.greeting("hello again", "1.1"))
    assert checkout.works("run")["greeting"] == "hello again"
    assert not stray.exists()


def test_a_wrong_hash_stops_everything(checkout: Checkout) -> None:
    checkout.lock("uv", f"uv==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    code, out, err = checkout.run("demo")
    assert (code, out) == (4, "")
    assert "its hash differs" in err
    assert checkout.installs() == []


def test_a_wrong_hash_that_uv_finds_is_not_tried_again_with_pip(checkout: Checkout) -> None:
    code, _, err = checkout.run("demo", FAKE_UV="error: Hash mismatch for `greeting==1.0`")
    assert code == 4
    assert "its hash differs" in err
    assert "with pip" not in err.split("installing with uv")[1]


def test_no_network_is_said_and_costs_nothing_that_worked(checkout: Checkout, closed_port: int) -> None:
    checkout.works("run")
    old = (checkout.root / "drctl" / "_lock" / "demo.txt").read_text()
    checkout.lock("demo", checkout.greeting("hello again", "1.1"))
    offline = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": f"http://127.0.0.1:{closed_port}/simple"}
    code, _, err = checkout.run("run", **offline)
    assert code == 4
    assert "cannot be reached (no network" in err
    assert "next: connect, or set PIP_INDEX_URL" in err
    checkout.lock("demo", old)
    assert checkout.works("run", **offline)["greeting"] == "hello"


def test_without_pip_it_says_what_to_install(checkout: Checkout) -> None:
    (checkout.folder / "broken" / "pip").mkdir(parents=True)
    (checkout.folder / "broken" / "pip" / "__init__.py").write_text("raise ImportError('no pip')")
    code, out, err = checkout.run("demo", PYTHONPATH=str(checkout.folder / "broken"))
    assert (code, out) == (4, "")
    assert "has no pip" in err
    assert "apt-get install python3-pip" in err


@pytest.mark.parametrize("why", ["no uv for this machine", "uv fails"])
def test_pip_does_the_work_where_uv_cannot(checkout: Checkout, why: str) -> None:
    if why == "no uv for this machine":
        checkout.lock("uv", f"uv==2.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert checkout.works("run", FAKE_UV="error: something about the cache")["greeting"] == "hello"


def test_pip_checks_the_hashes_too(checkout: Checkout) -> None:
    checkout.lock("demo", f"greeting==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    code, _, err = checkout.run("run", FAKE_UV="error: something about the cache")
    assert code == 4
    assert "its hash differs" in err


def test_a_checkout_that_cannot_be_written_uses_the_cache_folder(checkout: Checkout) -> None:
    (checkout.root / ".venv").touch()  # stands in for a read-only disk, which root would not notice otherwise
    cache = checkout.folder / "cache"
    first = checkout.works("run", XDG_CACHE_HOME=str(cache))
    assert Path(first["prefix"]).parent == cache / "drctl"
    assert checkout.works("run", XDG_CACHE_HOME=str(cache)) == first
    assert len(checkout.installs()) == 1


def test_nowhere_to_write_is_said(checkout: Checkout) -> None:
    (checkout.root / ".venv").touch()
    code, _, err = checkout.run("run", XDG_CACHE_HOME=str(checkout.root / ".venv"))
    assert code == 4
    assert "no place for the environment" in err
    assert "next: make the checkout writable" in err


def test_an_environment_made_by_someone_else_is_left_alone(checkout: Checkout) -> None:
    theirs = checkout.root / ".venv" / "theirs"
    theirs.parent.mkdir()
    theirs.touch()
    answer = checkout.works("run")
    assert Path(answer["prefix"]).is_relative_to(checkout.env["HOME"])
    assert list(theirs.parent.iterdir()) == [theirs]


def test_a_kill_half_way_is_waited_for_and_repaired(checkout: Checkout) -> None:
    kill_while_installing(checkout, "run")
    half_written = next((checkout.root / ".venv").glob("lib/python*/site-packages/half_written.py"))
    with checkout.start("run") as second:
        assert second.stderr is not None
        said = next(second.stderr)  # the installer that the kill left behind still has the lock
        assert "another bootstrap is building" in said
        end_left_over_uv(checkout)
        out, err = second.communicate(timeout=WAIT)
    assert second.returncode == 0, err
    assert json.loads(out)["greeting"] == "hello"
    assert not half_written.exists()


def kill_while_installing(checkout: Checkout, command: str) -> None:
    """kill -9 the bootstrap alone, when its installer has written half a package; the installer is left over."""
    with checkout.start(command, FAKE_UV="hang") as killed:
        assert killed.stderr is not None
        assert any("Downloading half a package" in line for line in killed.stderr)
        killed.kill()


def end_left_over_uv(checkout: Checkout) -> None:
    """End the stand-in uv of this checkout: found by its command line, which names this test's own folder."""
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if any(word.endswith(b".uv/bin/uv") and os.fsencode(checkout.root) in word for word in words):
            os.kill(int(process.name), signal.SIGKILL)


def test_a_kill_while_adding_tests_leaves_the_demo_usable(checkout: Checkout) -> None:
    checkout.works("demo")
    kill_while_installing(checkout, "test")
    assert checkout.run("demo")[2] == ""
    end_left_over_uv(checkout)
    assert checkout.works("test")["greeting"] == "hello"
    assert not list((checkout.root / ".venv").glob("lib/python*/site-packages/half_written.py"))


def test_two_at_once_build_once(checkout: Checkout) -> None:
    both = [checkout.start("run"), checkout.start("run")]
    ends = [process.communicate(timeout=WAIT) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert len(checkout.installs()) == 1


def test_uv_looks_where_pip_is_told_to_look(checkout: Checkout) -> None:
    certificate = checkout.folder / "ca.pem"
    settings = checkout.folder / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = http://mirror.example/simple\nextra-index-url = http://a.example/s\n    http://b.example/s\n"
        f"cert = {certificate}\nproxy = http://proxy.example:3128\n[install]\ntrusted-host = mirror.example\n"
    )
    checkout.works("run", PIP_CONFIG_FILE=str(settings), HTTP_PROXY="http://mine.example")
    (call,) = checkout.installs()
    assert call["env"] == {
        "UV_DEFAULT_INDEX": "http://mirror.example/simple",
        "UV_INDEX": "http://a.example/s http://b.example/s",
        "UV_FIND_LINKS": str(checkout.wheels),
        "UV_NO_INDEX": "1",
        "UV_INSECURE_HOST": "mirror.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": str(certificate),
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://mine.example",
    }
    written = [path for path in checkout.root.rglob("*") if path.is_file() and b"mirror.example" in path.read_bytes()]
    assert written == []


def test_an_environment_variable_wins_over_pips_file(checkout: Checkout) -> None:
    settings = checkout.folder / "pip.conf"
    settings.write_text("[install]\nindex-url = http://file.example/simple\n")
    where = {"PIP_CONFIG_FILE": str(settings), "PIP_INDEX_URL": "http://variable.example/simple"}
    checkout.works("run", **where)
    assert checkout.installs()[0]["env"]["UV_DEFAULT_INDEX"] == "http://variable.example/simple"


def test_its_syntax_is_old_enough_to_tell_an_old_python() -> None:
    ast.parse(SOURCE.read_text("utf-8"), feature_version=(3, 8))


def test_an_old_python_is_told_so(checkout: Checkout) -> None:
    pretend = (
        "import runpy, sys; sys.version_info = (3, 8, 18); runpy.run_module('drctl.bootstrap', run_name='__main__')"
    )
    done = subprocess.run(
        [base_python(), "-c", pretend, "demo"],
        cwd=checkout.root,
        env=checkout.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "error: drctl needs Python 3.11 or newer" in done.stderr
    assert "next: " in done.stderr
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize(("args", "code"), [((), 2), (("demos",), 2), (("--help",), 0)])
def test_usage(checkout: Checkout, args: tuple[str, ...], code: int) -> None:
    ended, out, err = checkout.run(*args)
    assert ended == code
    assert "python3 -m drctl.bootstrap demo" in (err if code else out)
    assert not (checkout.root / ".venv").exists()
    assert sys.version_info >= (3, 11)
