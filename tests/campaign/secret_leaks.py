"""Secrets written in every way, cut anywhere, on the way to all that drctl writes or shows: none comes through.

Two halves. The masker itself gets every form of every secret in two pieces, cut at each byte. Then a real `drctl run`
has steps that print all forms of all secrets in pieces, keep them, fail with them and hand them on; another one breaks
with them in an exception. Journal, outputs, screens, stderr, traceback, reports, plan and what a webhook got are looked
through for anything of them. A case is a secret in a form. Documented exceptions, counted and not judged: a secret
written backwards, enciphered, or with other characters put in between.
"""

import base64
import html
import json
import os
import random
import re
import shlex
import string
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.measure import ROOT
from drctl.adapters.secrets import Masker
from drctl.core.values import Secret
from drctl.errors import Exit
from tests.campaign.registry import Figures, cases
from tests.fakes.webserver import SEEN, web_server

NAME = "secrets"
ROWS = ("R9",)
_SECRETS = 50
_PART = 6  # the shortest piece of a secret that counts as one

LEAKS = "leaks"
CUT = "shown otherwise when cut"
BROKEN = "ended otherwise than meant"
PASSED = "documented exceptions that come through"

SABOTAGE = ""
"""MODULE:FUNCTION called in the processes before drctl is; only tests of this campaign set it."""


def wrapped(text: bytes, columns: int) -> bytes:
    """As tools print what is long."""
    return b"\n".join(text[at : at + columns] for at in range(0, len(text), columns))


def _json(text: str, *, ascii_only: bool) -> bytes:
    return json.dumps(text, ensure_ascii=ascii_only).encode()


FORMS: Mapping[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "JSON": lambda s: _json(s, ascii_only=True),
    "JSON in UTF-8": lambda s: _json(s, ascii_only=False),
    "JSON in JSON": lambda s: _json(json.dumps(s), ascii_only=True),
    "URL": lambda s: urllib.parse.quote(s, safe="").encode(),
    "URL with slashes": lambda s: urllib.parse.quote(s).encode(),
    "URL, small letters": lambda s: re.sub("%..", lambda m: m[0].lower(), urllib.parse.quote(s, safe="")).encode(),
    "form": lambda s: urllib.parse.quote_plus(s).encode(),
    "base64": lambda s: base64.b64encode(s.encode()),
    "base64 at one": lambda s: base64.b64encode(b"u" + s.encode() + b"!"),
    "base64 at two": lambda s: base64.b64encode(b"u:" + s.encode() + b"!!"),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()),
    "base64, wrapped": lambda s: wrapped(base64.b64encode(s.encode()), 76),
    "PEM": lambda s: wrapped(base64.b64encode(s.encode()), 64),
    "hex": lambda s: s.encode().hex().encode(),
    "HEX": lambda s: s.encode().hex().upper().encode(),
    "hex, wrapped": lambda s: wrapped(s.encode().hex().encode(), 60),
    "shell": lambda s: shlex.quote(s).encode(),
    "shell, other way": lambda s: ("'" + s.replace("'", "'\\''") + "'").encode(),
    "bash": lambda s: re.sub(r"([^\w@%+=:,./-])", r"\\\1", s, flags=re.ASCII).encode(),
    "double-quoted": lambda s: re.sub(r'(["$`\\])', r"\\\1", s).encode(),
    "repr": lambda s: repr(s).encode(),
    "HTML": lambda s: html.escape(s).encode(),
    "HTML, decimal": lambda s: html.escape(s).replace("&#x27;", "&#39;").encode(),
}
_ENCODED = ("base64", "PEM", "hex", "HEX")
EXCEPTIONS: Mapping[str, Callable[[str], bytes]] = {
    "backwards": lambda s: s[::-1].encode(),
    "enciphered": lambda s: bytes(byte ^ 1 for byte in s.encode()),
    "in between": lambda s: " ".join(s).encode(),
}
COUNT = CI_COUNT = _SECRETS * len(FORMS)


def drawn(rng: random.Random) -> list[str]:
    """Secrets of every sort: short, long, of several lines, with everything in them that is written in other ways."""
    letters = string.ascii_letters + string.digits

    def some(least: int, most: int) -> str:
        return "".join(rng.choices(letters, k=rng.randint(least, most)))

    odd = (
        "'",
        '"',
        "$",
        "`",
        "\\",
        "/",
        "+",
        "=",
        "&",
        "<",
        ">",
        " ",
        "%",
        "ä",
        "€",
        "日",
        "\U0001f511",
        "#",
        ";",
        "!",
    )
    sorts: tuple[Callable[[], str], ...] = (
        lambda: some(6, 9),
        lambda: some(20, 40),
        lambda: some(80, 300),
        lambda: some(8, 12) + "".join(rng.sample(odd, 6)) + some(8, 12),
        lambda: f"{some(8, 12)}\n{some(8, 12)}{rng.choice(odd)}\n{some(8, 12)}",
        lambda: f"{some(6, 9)}:{some(12, 20)}@{some(8, 10)}/{some(6, 8)}",
        lambda: base64.b64encode(some(24, 48).encode()).decode(),
    )
    return [sorts[number % len(sorts)]() for number in range(_SECRETS)]


def pieces(secret: str, form: str) -> set[bytes]:
    """Stretches of a form that must not be seen: random characters alone, as `&quot;` is in every page.

    Of what is encoded longer ones: six digits of a digest are the same by chance.
    """
    text = FORMS[form](secret)
    if not form.startswith(_ENCODED):
        own = [word.encode() for word in re.findall(r"[A-Za-z0-9]+", secret)]
        size = _PART
    elif form.startswith(("hex", "HEX")):
        own, size = text.split(b"\n"), 2 * _PART
    else:  # at the ends the neighbours have bits too
        own, size = text[4:-4].split(b"\n"), _PART + 2
    return {word[at : at + size] for word in own for at in range(len(word) - size + 1)}


def seen(data: bytes, wanted: Mapping[bytes, str]) -> str:
    """Which of the pieces stands there first, and whose; empty when none does."""
    for size in {len(piece) for piece in wanted}:
        for at in range(len(data) - size + 1):
            if data[at : at + size] in wanted:
                found = data[max(0, at - 60) : at + 60]
                return f"{wanted[data[at : at + size]]}: {found!r}"
    return ""


# --- the masker -------------------------------------------------------------------------------------------------------


def _cut_everywhere(masker: Masker, secret: str, form: str, figures: Figures, rng: random.Random) -> None:
    data = b"before <" + FORMS[form](secret) + b"> after"
    whole = masker.mask(data)
    wanted = dict.fromkeys(pieces(secret, form), form)
    figures.check(not seen(whole, wanted), LEAKS, f"{form} of {secret!r}: {seen(whole, wanted)}")
    places = range(len(data) + 1)
    for cut in places if len(places) < _LONG else rng.sample(places, _LONG):
        stream = masker.stream()
        shown = stream.feed(data[:cut]) + stream.feed(data[cut:]) + stream.close()
        figures.count("cuts")
        figures.check(shown == whole, CUT, f"{form} of {secret!r} at {cut}")


_LONG = 200
"""Most places where one form is cut; longer ones are cut at so many drawn at random."""


# --- a run ------------------------------------------------------------------------------------------------------------

_SAY = """\
import json, os, sys
for text, cut in json.load(open(sys.argv[2])):
    data = bytes.fromhex(text)
    for part in (b"<" + data[:cut], data[cut:] + b">\\n"):
        os.write(int(sys.argv[1]), part)
"""
_BOOK = """\
runbook: leaks
inputs:
INPUTS
phases:
  - id: all
    steps:
      - {id: look, run: 'SAY', effect: read, WITH, capture: {n: "len(stdout)"}}
      - id: act
        run: 'SAY'
        WITH
        effect: idempotent
        undo: {none: a test}
        capture: {first: "lines(stdout)[0]", last: "lines(stdout)[10]"}
      - {id: fails, run: 'SAY; exit 3', effect: read, WITH, tolerate: [failed]}
      - {id: shown, do: check, expect: "steps.act.exit == 7", tolerate: [failed]}
      - {id: told, do: notify, with: {to: [oncall], text: "It ended with ${{ steps.fails.exit }}"}}
      - {id: printed, run: 'printf %s "$S0"; printf %s "$S1" >&2; set -x; : "$S2" "$S3"', effect: read, WITH}
"""


class Scene:
    """A folder with a runbook that prints forms of secrets, and the processes of drctl in it."""

    def __init__(self, folder: Path, secrets: list[str], hook: str) -> None:
        self.folder = folder
        self.secrets = secrets
        self.env = {f"S{number}": secret for number, secret in enumerate(secrets)}
        inputs = "\n".join(f"  s{number}: {{type: secret, from: env:S{number}}}" for number in range(len(secrets)))
        values = ", ".join(f'S{number}: "${{{{ inputs.s{number} }}}}"' for number in range(len(secrets)))
        say = f"cd {folder}; {sys.executable} say.py 1 said; {sys.executable} say.py 2 said"
        text = _BOOK.replace("INPUTS", inputs).replace("SAY", say).replace("WITH", f"with: {{env: {{{values}}}}}")
        (folder / "book.yaml").write_text(text)
        (folder / "say.py").write_text(_SAY)
        head = "inventory: here\nenvironment: lab\nzone: UTC\n"
        (folder / "inventory.yaml").write_text(f'{head}channels: {{oncall: {{type: webhook, url: "{hook}"}}}}\n')

    def say(self, rng: random.Random) -> None:
        """What the steps print: every form of every secret, each in two pieces."""
        lines = [FORMS[form](secret) for secret in self.secrets for form in FORMS]
        (self.folder / "said").write_text(json.dumps([[data.hex(), rng.randint(0, len(data))] for data in lines]))

    def drctl(self, *words: str, name: str = "", state: str = "state", **env: str) -> int:
        """One process; what it says goes to the folder of what was shown."""
        argv = [sys.executable, "-m", "tests.campaign.secret_leaks", "--state-dir", str(self.folder / state), *words]
        shown = self.folder / "shown"
        shown.mkdir(exist_ok=True)
        name = name or "-".join(words).replace("/", "")[:40]
        with (shown / f"{name}.out").open("wb") as out, (shown / f"{name}.err").open("wb") as err:
            return subprocess.run(
                argv, cwd=self.folder, stdout=out, stderr=err, stdin=subprocess.DEVNULL, check=False,
                env=os.environ | self.env | {"PYTHONPATH": str(ROOT), "LEAKS_SABOTAGE": SABOTAGE} | env,
            ).returncode  # fmt: skip

    def sinks(self) -> Iterator[tuple[str, Path]]:
        """Everything that drctl wrote or showed, by the name of its sink."""
        names = {"journal.jsonl": "journal", "out": "outputs", "local": "claims on the host"}
        for path in sorted(self.folder.glob("state*/**/*")):
            if path.is_file():
                parts = path.relative_to(self.folder).parts
                sink = next((names[part] for part in parts if part in names), "")
                yield sink or ("report" if path.name.startswith("report") else "state folder"), path
        for path in sorted((self.folder / "shown").iterdir()):
            yield f"{path.name.rpartition('.')[0]} ({path.suffix[1:]})", path


def _run(folder: Path, secrets: list[str], figures: Figures, rng: random.Random) -> None:
    with web_server() as port:
        scene = Scene(folder, secrets, f"http://127.0.0.1:{port}/ok")
        scene.say(rng)
        ended = scene.drctl("run", "book.yaml", "--no-live", name="run")
        figures.check(ended in (Exit.DONE, Exit.EXCEPTIONS), BROKEN, f"exit {ended}: {_tail(folder, 'run')}")
        (id_,) = (path.name for path in (folder / "state" / "runs").iterdir())
        for words in (
            ("plan", "book.yaml"), ("--output", "json", "plan", "book.yaml"), ("show", id_), ("watch", id_),
            ("--output", "json", "show", id_), ("report", id_), ("report", id_, "--format", "json", "-o", "-"),
            ("audit", "verify", id_), ("graph", "book.yaml"), ("check", "book.yaml"),
        ):  # fmt: skip
            scene.drctl(*words)
        for where in ("a kind", "a command"):
            ended = scene.drctl(
                "run",
                "book.yaml",
                "--no-live",
                name=f"defect in {where}",
                state=f"state of {where}",
                DRCTL_DEBUG="1",
                LEAKS_BREAK=where,
            )
            shown = (folder / "shown" / f"defect in {where}.err").read_text("utf-8", "replace")
            figures.check("RuntimeError" in shown, BROKEN, f"a defect in {where}: exit {ended}, {shown[-1000:]}")
        told = b"\n".join(body for _, _, _, body in SEEN)
    (folder / "shown" / "notify.got").write_bytes(told)
    figures.check(bool(told), BROKEN, "nothing was told by the webhook")
    wanted = {piece: f"{form} of {secret!r}" for secret in secrets for form in FORMS for piece in pieces(secret, form)}
    stars = 0
    for sink, path in scene.sinks():
        data = path.read_bytes()
        stars += data.count(b"***")
        found = seen(data, wanted)
        figures.count(f"bytes of {sink}", len(data))
        figures.check(not found, LEAKS, f"{sink}: {found}")
    figures.check(stars > len(secrets) * len(FORMS), BROKEN, f"only {stars} secrets were masked: they were not printed")


def _tail(folder: Path, name: str) -> str:
    return (folder / "shown" / f"{name}.err").read_text("utf-8", "replace")[-1000:]


def run(count: int, rng: random.Random) -> Figures:
    """So many forms, then one run with all of them."""
    figures = Figures()
    for name in (LEAKS, CUT, BROKEN, PASSED, "cuts"):
        figures.count(name, 0)
    secrets, masker = drawn(rng), Masker()
    for secret in secrets:
        masker.add(Secret(secret))
    for secret, form in cases([(secret, form) for secret in secrets for form in FORMS], count, rng, figures):
        _cut_everywhere(masker, secret, form, figures, rng)
    with tempfile.TemporaryDirectory(prefix="drctl-l-") as name:
        _run(Path(name), secrets, figures, rng)
    for name, write in EXCEPTIONS.items():
        passed = sum(masker.mask(write(secret)) == write(secret) for secret in secrets)
        figures.count(PASSED, passed)
        figures.count(f"{PASSED}: {name}", passed)
    return figures


def main() -> None:
    """Be drctl, broken where the campaign asks for it."""
    import pytest  # noqa: PLC0415 - for these few processes only

    from drctl.cli import app  # noqa: PLC0415 - the campaign itself needs none of it
    from drctl.kinds.shell import Shell  # noqa: PLC0415

    patch = pytest.MonkeyPatch()
    secrets = [value for name, value in os.environ.items() if re.fullmatch(r"S\d+", name)]
    said = " ".join(FORMS[form](secret).decode() for secret in secrets for form in FORMS)

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    if os.environ.get("LEAKS_BREAK") == "a kind":
        patch.setattr(Shell, "look", breaks)
    if os.environ.get("LEAKS_BREAK") == "a command":
        patch.setattr("drctl.engine.executor.Executor.run", breaks)
    sabotage = os.environ.get("LEAKS_SABOTAGE")
    if sabotage:
        from tests.fakes.processes import _sabotage  # noqa: PLC0415

        _sabotage(sabotage)
    sys.exit(app.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
