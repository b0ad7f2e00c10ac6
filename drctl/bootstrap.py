"""Make drctl's own Python environment from the lock files, then start drctl or its tests in it.

    python3 -m drctl.bootstrap demo [ARGS]   the lab demo
    python3 -m drctl.bootstrap test [ARGS]   the test suite (ARGS go to pytest)
    python3 -m drctl.bootstrap run [ARGS]    drctl itself
    python3 -m drctl.bootstrap env           nothing but the environment; prints its folder

Needs Python 3.11 and pip, nothing else: this module imports the standard library only and nothing else of drctl, and
its syntax stays readable for Python 3.8, so that an old interpreter is told so instead of showing a SyntaxError.

Every package is pinned by hash in `drctl/_lock/`. pip fetches one of them, the installer uv, which installs the others
(`docs/adr/0001-bootstrap.md` says why). What this module leaves to others: how the locks are made (`.ci/lock`), and
everything drctl does once it runs.
"""

from __future__ import annotations

import ast
import compileall
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Iterator, NoReturn

LAYOUT = "1"  # raise it when a change of this file must rebuild environments that are already there
ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "drctl" / "_lock"
LOCK_FILE = "drctl.lock"  # in the environment's folder: held while building, and the mark that the folder is ours
STAMP_FILE = "drctl.stamp"  # written last: what the environment was built from. Without it, it counts as half built
UV_FOLDER = ".uv"
EXIT_USAGE = 2
EXIT_NOT_BUILT = 4  # "closed before anything was changed" in drctl's table of exit codes

# What each command needs installed, and what it then starts.
COMMANDS = {
    "demo": ("demo", ["-P", "-m", "drctl", "lab", "demo"]),
    "run": ("demo", ["-P", "-m", "drctl"]),
    "test": ("test", ["-P", "-m", "pytest"]),
    "env": ("test", None),
}
MEGABYTES = {"demo": 240, "test": 350}  # on disk, measured on x86_64

# What an installer's output says about why it failed: no second way of installing would help, so the person is told.
FATAL = [
    (
        re.compile(r"DO NOT MATCH THE HASHES|Hash mismatch", re.IGNORECASE),
        "a package that was offered is not the one the lock names (its hash differs)",
        "do not go on with this package source: find out who changed the file, or use another source",
    ),
    (
        re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE),
        "the disk is full",
        "make room (about 500 MB with the download cache), then type the same command again",
    ),
    (
        re.compile(
            r"connection broken|NewConnectionError|name resolution|Name or service not known|dns error|timed out"
            r"|Connection refused|Connection reset|client error \(Connect\)|unreachable|ProxyError|No route to host"
            r"|error sending request|CERTIFICATE_VERIFY_FAILED|invalid peer certificate",
            re.IGNORECASE,
        ),
        "the package index cannot be reached (no network, or pip is not set up for this network)",
        "connect, or set PIP_INDEX_URL or PIP_PROXY for a mirror or proxy (uv gets them too); type the command again",
    ),
]


class CannotBuildError(Exception):
    """The environment cannot be made; the message says why, and `hint` what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(argv: list[str]) -> int:
    """Build what is missing and replace this process by the command; returns an exit code only when it cannot."""
    if sys.version_info < (3, 11):
        return _too_old()
    if not argv or argv[0] not in COMMANDS:
        asked_for_help = bool(argv) and argv[0] in ("-h", "--help")
        print((__doc__ or "").strip(), file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else EXIT_USAGE
    group, command = COMMANDS[argv[0]]
    try:
        folder = prepare(group)
    except CannotBuildError as error:
        say(f"error: {error}")
        say(f"next: {error.hint}")
        return EXIT_NOT_BUILT
    except KeyboardInterrupt:
        say("interrupted; nothing is lost: the same command starts again where it can")
        return 130
    if command is None:
        print(folder)
        return 0
    return start([str(folder / "bin" / "python"), *command, *argv[1:]], in_checkout=argv[0] == "test")


def start(command: list[str], *, in_checkout: bool) -> NoReturn:
    """Replace this process: signals, the terminal and the exit code are then the command's own."""
    if in_checkout:
        os.chdir(ROOT)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)  # noqa: S606 - an argv list, no shell


def say(text: str) -> None:
    """Tell the person what is going on; stderr, since stdout belongs to the command that is started."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def _too_old() -> int:
    say(f"error: drctl needs Python 3.11 or newer; this is {platform.python_version()} ({sys.executable})")
    for python in filter(None, map(shutil.which, ["python3.13", "python3.12", "python3.11"])):
        # A name on PATH may be a version switcher's shim that starts nothing: name only one that runs.
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            say(f"next: {python} -m drctl.bootstrap {' '.join(map(shlex.quote, sys.argv[1:]))}")
            return EXIT_NOT_BUILT
    say("next: install Python 3.11 or newer (Debian 12, Ubuntu 24.04 and newer have it as python3)")
    return EXIT_NOT_BUILT


# --- which environment ------------------------------------------------------------------------------------------------


def prepare(group: str) -> Path:
    """Return the folder of an environment that has the packages of `group` ("demo" or "test"), built if needed.

    A second call finds its stamp and touches neither network nor disk.

    Raises:
        CannotBuildError: no place to build in, no pip, no network, a wrong hash.
    """
    if not (ROOT / "pyproject.toml").is_file():
        raise CannotBuildError(
            f"{ROOT} is not a checkout of drctl", "drctl is installed here already: type `drctl lab demo`"
        )
    folders = [ROOT / ".venv", *_cache_folders()]
    for folder in folders:
        if _is_ours(folder) and _ready(folder, group):
            return folder
    for folder in folders:
        lock = _claim(folder)
        if lock is not None:
            with _held(lock, folder):
                if not _ready(folder, group):  # another bootstrap may have finished it meanwhile
                    build(folder, group, lock)
            return folder
    raise CannotBuildError(
        f"no place for the environment: tried {' and '.join(map(str, folders))}",
        "make the checkout writable, or name a writable folder in XDG_CACHE_HOME",
    )


def _cache_folders() -> list[Path]:
    """Where to build when the checkout is read-only: one folder for each checkout; none for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - Path.home() raises where there is no home
    name = f"venv-{hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:16]}"
    return [base / "drctl" / name] if base.is_absolute() else []


def _is_ours(folder: Path) -> bool:
    return (folder / LOCK_FILE).is_file()


def _claim(folder: Path) -> int | None:
    """Open the lock of a folder that may be built in; None if it is somebody else's or cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _is_ours(folder) and any(folder.iterdir()):
            say(f"{folder} was not made by this command and stays as it is")
            return None
        return os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        say(f"{folder} cannot be written ({error.strerror})")
        return None


@contextlib.contextmanager
def _held(lock: int, folder: Path) -> Iterator[None]:
    """Hold the lock; installers inherit it, so that one left over by a killed bootstrap is waited for, not raced."""
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another bootstrap is building {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _keys(folder: Path) -> dict[str, str]:
    """What an environment depends on, one digest for each group: locks, the uv pin, this Python, and where it lies."""
    digest = hashlib.sha256()
    for part in (LAYOUT, sys.version, platform.machine(), str(ROOT), str(folder)):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    keys = {}
    for name, group in (("uv.txt", ""), ("demo.txt", "demo"), ("test.txt", "test")):
        digest.update((LOCKS / name).read_bytes() + b"\0")
        keys[group] = digest.hexdigest()
    return {group: keys[group] for group in ("demo", "test")}


def _stamped(folder: Path) -> dict[str, str]:
    try:
        text = (folder / STAMP_FILE).read_text(encoding="ascii")
    except (OSError, ValueError):
        return {}
    return {words[0]: words[1] for words in map(str.split, text.splitlines()) if len(words) == 2}  # noqa: PLR2004 - group, key


def _ready(folder: Path, group: str) -> bool:
    keys, stamped = _keys(folder), _stamped(folder)
    wanted = [keys["demo"]] if group == "demo" else [keys["demo"], keys["test"]]
    present = [stamped.get(name) for name in ("demo", "test")[: len(wanted)]]
    return present == wanted and os.access(folder / "bin" / "python", os.X_OK)


# --- building it ------------------------------------------------------------------------------------------------------


def build(folder: Path, group: str, lock: int) -> None:
    """Build the environment, or add the test group to one that has the demo's packages.

    A kill at any point leaves a folder without a fitting stamp, which the next call empties and builds again; while the
    test group is added, the demo's packages stay as they are and usable. The first use of the network comes before the
    first deletion, so that a network that is down does not cost an environment that worked.
    """
    keys, stamped = _keys(folder), _stamped(folder)
    adding = group == "test" and "test" not in stamped and _ready(folder, "demo")
    verb = "adding the test packages to" if adding else "making"
    if stamped and not adding:
        verb = "the locks, this Python or the place changed: making anew"
    packages = sum(line[0].isalnum() for line in (LOCKS / f"{group}.txt").read_text(encoding="ascii").splitlines())
    say(f"{verb} {folder} (about {packages} packages, {MEGABYTES[group]} MB)")
    pip, settings = _find_pip()
    env = _installer_environment(settings)
    if adding:
        uv = _uv_in(folder / UV_FOLDER)
        _write_stamp(folder, {"demo": keys["demo"], "test": "incomplete"})
    else:
        uv = _fetch_uv(folder / f"{UV_FOLDER}.new", pip, env, lock)
        _empty(folder, keep={LOCK_FILE, f"{UV_FOLDER}.new"})
        if uv is not None:
            uv = (folder / f"{UV_FOLDER}.new").rename(folder / UV_FOLDER) / "bin" / "uv"
        venv.create(folder, with_pip=False, symlinks=True)
    _install(folder, group, ([str(uv)] if uv else [], pip), env, lock)
    _link_project(folder)
    compileall.compile_dir(ROOT / "drctl", quiet=2)  # a checkout that cannot be written just starts more slowly
    _write_stamp(folder, {name: keys[name] for name in ("demo", group)})
    say(f"ready: {folder}")


def _empty(folder: Path, keep: set[str]) -> None:
    (folder / STAMP_FILE).unlink(missing_ok=True)  # first: from here on it counts as half built
    for entry in folder.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _write_stamp(folder: Path, keys: dict[str, str]) -> None:
    fresh = folder / f"{STAMP_FILE}.new"
    fresh.write_text("".join(f"{group} {key}\n" for group, key in keys.items()), encoding="ascii")
    fresh.replace(folder / STAMP_FILE)


def _link_project(folder: Path) -> None:
    """Make the checkout importable, and `bin/drctl`: no build backend runs, so none has to be fetched or trusted."""
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    (Path(paths["purelib"]) / "drctl.pth").write_bytes(os.fsencode(ROOT) + b"\n")
    script = folder / "bin" / "drctl"
    script.write_text(
        f'#!/bin/sh\nexec {shlex.quote(str(folder / "bin" / "python"))} -P -m drctl "$@"\n',
        encoding=sys.getfilesystemencoding(),
        errors="surrogateescape",
    )
    script.chmod(0o755)


# --- the installers ---------------------------------------------------------------------------------------------------


def _find_pip() -> tuple[list[str], dict[str, str]]:
    """Find a pip that works: this Python's, or that of the Python this virtual environment was made from.

    Returns:
        Its command, and its settings (from its files and PIP_* variables) by option name.
    """
    for python in dict.fromkeys([sys.executable, getattr(sys, "_base_executable", sys.executable)]):
        listing = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
        if listing.returncode == 0:
            return [python, "-m", "pip"], _pip_settings(listing.stdout)
    raise CannotBuildError(
        f"{sys.executable} has no pip, and pip is what fetches the packages",
        "as root `apt-get install python3-pip` (Debian, Ubuntu) or `dnf install python3-pip` (Fedora); "
        "or, where uv is installed, `uv run --extra lab drctl lab demo`",
    )


def _pip_settings(listing: str) -> dict[str, str]:
    ranked = []
    for line in listing.splitlines():
        match = re.fullmatch(r"(global|install|:env:)\.([\w-]+)=(.*)", line)
        if match:
            with contextlib.suppress(ValueError, SyntaxError):
                section, option, text = match.groups()
                ranked.append((("global", "install", ":env:").index(section), option, str(ast.literal_eval(text))))
    return {option: value for _, option, value in sorted(ranked)}  # a later, stronger section overwrites


def _installer_environment(configured: dict[str, str]) -> dict[str, str]:
    """The environment of both installers: where pip is told to look, uv looks too (it does not read pip's settings).

    What the person has set for uv is left alone. Nothing is written to a file.
    """
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_REQUIRE_VIRTUALENV="0")
    env["PIP_ROOT_USER_ACTION"] = "ignore"
    if "index-url" not in configured and "UV_DEFAULT_INDEX" in env:
        env["PIP_INDEX_URL"] = env["UV_DEFAULT_INDEX"]
    links = configured.get("find-links", "").split()
    wanted = {
        "UV_DEFAULT_INDEX": configured.get("index-url", ""),
        "UV_INDEX": " ".join(configured.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(link for link in links if "://" in link or os.path.exists(link)),  # noqa: PTH110 - text, as pip has it
        "UV_NO_INDEX": "1" if configured.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "UV_INSECURE_HOST": " ".join(configured.get("trusted-host", "").split()),
        "SSL_CERT_FILE": configured.get("cert", ""),
        "HTTPS_PROXY": configured.get("proxy", ""),
        "HTTP_PROXY": configured.get("proxy", ""),
        # pip takes a version from whichever index has it; the hashes say which file is meant, so that is safe here.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    for name, value in wanted.items():
        if value and name not in env and name.lower() not in env:
            env[name] = value
    return env


def _fetch_uv(target: Path, pip: list[str], env: dict[str, str], lock: int) -> Path | None:
    """Fetch the pinned uv into `target`; None when there is none for this platform (pip then does all the work)."""
    shutil.rmtree(target, ignore_errors=True)
    pin = re.search(r"uv==([\w.]+)", (LOCKS / "uv.txt").read_text(encoding="ascii"))
    say(f"fetching the installer uv {pin.group(1) if pin else ''} with pip")
    options = ["--target", str(target), "--no-user", "--retries", "2", "--quiet", *_pinned("uv")]
    failure = _run([*pip, "install", *options], env, lock)
    if failure is None and _uv_in(target):
        return target / "bin" / "uv"
    shutil.rmtree(target, ignore_errors=True)
    _stop_if_fatal(failure or "")
    say("uv is not to be had for this machine; pip installs everything instead (slower)")
    return None


def _uv_in(target: Path) -> Path | None:
    uv = target / "bin" / "uv"
    return uv if os.access(uv, os.X_OK) else None


def _pinned(lock_name: str) -> list[str]:
    """Only files whose hash the lock names, only wheels: a source package runs and fetches what no hash names."""
    return ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCKS / f"{lock_name}.txt")]


def _install(folder: Path, group: str, installers: tuple[list[str], list[str]], env: dict[str, str], lock: int) -> None:
    uv, pip = installers
    python = str(folder / "bin" / "python")
    if uv:
        say("installing with uv")
        command = [*uv, "pip", "install", "--python", python, "--compile-bytecode", *_pinned(group)]
        failure = _run(command, env, lock, show=("Downloading", "Prepared", "Installed", "Bytecode"))
        if failure is None:
            return
        _stop_if_fatal(failure)
        say(f"uv did not succeed ({(failure.strip().splitlines() or ['no output'])[-1].strip()}); trying pip")
    say("installing with pip")
    failure = _run([*pip, "--python", python, "install", "--no-user", *_pinned(group)], env, lock, show=("Collecting",))
    if failure is not None:
        _stop_if_fatal(failure)
        raise CannotBuildError(
            "pip could not install the packages; its last words:\n" + "\n".join(failure.splitlines()[-8:]),
            "is this platform covered? drctl is built for Linux on x86_64 and aarch64, Python 3.11 to 3.13",
        )


def _run(command: list[str], env: dict[str, str], lock: int, show: tuple[str, ...] = ()) -> str | None:
    """Run an installer, passing on the lines that start with a word of `show`; its whole output if it failed."""
    lines = []
    try:
        with subprocess.Popen(
            command,
            env=env,
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if line.startswith(show or ("\0",)):
                    say(f"  {line.rstrip()}")
    except OSError as error:  # the program itself cannot be started (another libc, a noexec mount)
        return str(error)
    return None if process.returncode == 0 else "".join(lines)


def _stop_if_fatal(output: str) -> None:
    for pattern, meaning, hint in FATAL:
        line = next((line.strip() for line in output.splitlines() if pattern.search(line)), None)
        if line is not None:
            raise CannotBuildError(f"{meaning}; the installer said: {line[:300]}", hint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
