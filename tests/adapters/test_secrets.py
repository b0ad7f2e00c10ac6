"""Secrets: found where they should be, refused where they must not lie, masked in every form and at every cut."""

import base64
import html
import json
import os
import random
import re
import shlex
import stat
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drctl.adapters.secrets import Masker, Secrets
from drctl.core.inventory import SecretRef
from drctl.core.values import Secret
from drctl.errors import RefusedError

HARD = "pä\"ss'w$rd+/=<&>`\\x\nsecond line of it"


def secrets(tmp_path: Path, **environment: str) -> Secrets:
    return Secrets(Masker(), tmp_path, environment)


def ref(source: str, *target: str) -> SecretRef:
    return SecretRef(source=source, target=target)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


# --- resolving --------------------------------------------------------------------------------------------------------


def test_a_secret_from_the_environment(tmp_path: Path) -> None:
    found = secrets(tmp_path, DB_PASSWORD="sesame-open").resolve(ref("env", "DB_PASSWORD"))
    assert found.reveal() == "sesame-open"
    assert found.name == "env:DB_PASSWORD"


def test_a_secret_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    private(tmp_path / "s3", "ACCESS:SECRET\n")
    assert secrets(tmp_path).resolve(ref("file", "s3")).reveal() == "ACCESS:SECRET"
    assert secrets(Path("/")).resolve(ref("file", str(tmp_path / "s3"))).reveal() == "ACCESS:SECRET"


def test_a_secret_from_a_command_is_asked_for_once(tmp_path: Path) -> None:
    script = "import pathlib; p = pathlib.Path('asked'); p.open('a').write('x'); print('from-a-vault')"
    words = (sys.executable, "-c", script.replace("'asked'", repr(str(tmp_path / "asked"))))
    store = secrets(tmp_path)
    assert store.resolve(ref("cmd", *words)).reveal() == "from-a-vault"
    assert store.resolve(ref("cmd", *words)).reveal() == "from-a-vault"
    assert (tmp_path / "asked").read_text() == "x"


def test_what_is_resolved_is_masked_from_then_on(tmp_path: Path) -> None:
    masker = Masker()
    Secrets(masker, tmp_path, {"X": "sesame-open"}).resolve(ref("env", "X"))
    assert masker.text("it is sesame-open.") == "it is ***."


def _too_open(path: Path) -> SecretRef:
    private(path / "open", "sesame-open", 0o640)
    return ref("file", "open")


@pytest.mark.parametrize(
    ("make", "what", "then"),
    [
        (lambda _: ref("env", "NOT_SET"), "the environment variable NOT_SET is not set", "export NOT_SET="),
        (lambda _: ref("file", "missing"), "cannot be opened: No such file", "ls -l"),
        (_too_open, r"can be read by others \(mode 640\)", "chmod 600"),
        (lambda path: ref("file", str(path)), "no ordinary file", "name the file"),
        (lambda _: ref("cmd", "no-such-program-here"), "cannot be started", "command -v no-such-program-here"),
        (
            lambda _: ref("cmd", "sh", "-c", "echo half-a-$0; exit 3", "secret"),
            "ended with exit code 3",
            "run it by hand",
        ),
        (lambda _: ref("env", "SHORT"), "fewer than 6 characters", "use a longer one"),
        (lambda _: ref("env", "EMPTY"), "is empty", "use a longer one"),
        (lambda _: ref("vault", "x"), "no reference drctl knows", "write env:"),
    ],
)
def test_what_cannot_be_resolved_is_said_without_the_value(
    tmp_path: Path, make: Callable[[Path], SecretRef], what: str, then: str
) -> None:
    reference = make(tmp_path)
    with pytest.raises(RefusedError, match=what) as failure:
        secrets(tmp_path, SHORT="12345", EMPTY="").resolve(reference)
    assert failure.value.where == f"secret {reference}"
    assert then in failure.value.next
    text = str(failure.value)
    assert "12345" not in text
    assert "half-a-secret" not in text
    assert "sesame-open" not in text


def test_a_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00secret")
    path.chmod(0o600)
    with pytest.raises(RefusedError, match="not UTF-8"):
        secrets(tmp_path).resolve(ref("file", "binary"))


def test_a_fifo_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    with pytest.raises(RefusedError, match="no ordinary file"):
        secrets(tmp_path).resolve(ref("file", "fifo"))


# --- masking ----------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda s: s,
    "first line": lambda s: s.splitlines()[0],
    "second line": lambda s: s.splitlines()[1],
    "JSON": json.dumps,
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s)),
    "JSON of Go": lambda s: json.dumps(s).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "JSON of PHP": lambda s: json.dumps(s).replace("/", "\\/"),
    "JSON with capitals": lambda s: re.sub(r"\\u[0-9a-f]{4}", lambda f: f"\\u{f[0][2:].upper()}", json.dumps(s)),
    "SQL": lambda s: "'" + s.replace("'", "''") + "'",
    "URL": lambda s: urllib.parse.quote(s, safe=""),
    "URL with slashes": urllib.parse.quote,
    "URL in small letters": lambda s: urllib.parse.quote(s, safe="").replace("%C3%A4", "%c3%a4").lower(),
    "form": urllib.parse.quote_plus,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of login": lambda s: base64.b64encode(b"li:" + s.encode() + b"!").decode(),
    "base64 at one": lambda s: base64.b64encode(b"x" + s.encode() + b"yy").decode(),
    "base64 at two": lambda s: base64.b64encode(b"xx" + s.encode() + b"yyy").decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "shell": shlex.quote,
    "shell, other way": lambda s: "'" + s.replace("'", "'\\''") + "'",
    "repr": repr,
    "HTML": html.escape,
    "HTML, decimal": lambda s: html.escape(s).replace("&#x27;", "&#39;"),
    "double-quoted": lambda s: s.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_masked(form: str) -> None:
    masker = Masker()
    masker.add(Secret(HARD))
    shown = masker.text(f"before [{FORMS[form](HARD)}] after")
    left = shown.removeprefix("before [").removesuffix("] after").replace("***", "", 1)
    # what may stay are quotes around the form, and base64 characters that carry the neighbours' bits
    assert len(left) <= 10, left
    assert "***" in shown


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_wherever_the_stream_is_cut(form: str) -> None:
    masker = Masker()
    masker.add(Secret(HARD))
    data = f"before [{FORMS[form](HARD)}] after".encode()
    whole = masker.mask(data)
    for cut in range(len(data) + 1):
        stream = masker.stream()
        assert stream.feed(data[:cut]) + stream.feed(data[cut:]) + stream.close() == whole, cut


@pytest.mark.parametrize("columns", [60, 64, 76])
@pytest.mark.parametrize("before", ["", "user:", "a longer beginning: "])
@pytest.mark.parametrize("write", [lambda data: base64.b64encode(data).decode(), bytes.hex])
def test_an_encoded_secret_that_a_tool_broke_into_lines_is_masked(
    columns: int, before: str, write: Callable[[bytes], str]
) -> None:
    secret = "".join(random.Random(1).choices("abcdefghijkXYZ0123456789", k=150))
    masker = Masker()
    masker.add(Secret(secret))
    for end in ("\n", "\r\n"):
        text = write((before + secret).encode())
        lines = end.join(text[at : at + columns] for at in range(0, len(text), columns))
        whole = masker.text(lines)
        assert len(whole.replace("***", "")) <= len(write(before.encode())) + 4, whole
        data = lines.encode()
        for cut in range(0, len(data), 7):
            stream = masker.stream()
            assert stream.feed(data[:cut]) + stream.feed(data[cut:]) + stream.close() == whole.encode(), cut


def test_a_secret_that_comes_byte_by_byte_is_found() -> None:
    masker = Masker()
    masker.add(Secret("sesame-open"))
    masker.add(Secret("open-the-door"))
    stream = masker.stream()
    data = b"x sesame-open-the-door sesame-opensesame-open y"
    shown = b"".join(stream.feed(data[i : i + 1]) for i in range(len(data))) + stream.close()
    assert shown == masker.mask(data)
    assert shown == b"x *** *** y"


@given(
    st.lists(st.text("abc'\"\n", min_size=6, max_size=12), min_size=1, max_size=3),
    st.lists(st.text("abc'\"\n x", max_size=30), max_size=4),
    st.randoms(use_true_random=False),
)
def test_no_cut_changes_what_is_shown_and_no_secret_is_left(
    values: list[str], around: list[str], chance: random.Random
) -> None:
    masker = Masker()
    for value in values:
        masker.add(Secret(value))
    text = "".join(piece + chance.choice(values) for piece in around) + "end"
    data = text.encode()
    whole = masker.mask(data)
    assert not any(value.encode() in whole for value in values)
    stream, shown = masker.stream(), b""
    while data:
        size = chance.randint(1, 9)
        shown, data = shown + stream.feed(data[:size]), data[size:]
    assert shown + stream.close() == whole


def test_text_without_secrets_is_untouched_and_nothing_is_held_back() -> None:
    masker = Masker()
    assert masker.mask(b"\xff\x00 anything") == b"\xff\x00 anything"
    assert masker.stream().feed(b"anything") == b"anything"
    masker.add(Secret("sesame-open"))
    assert masker.mask(b"\xff\x00 anything") == b"\xff\x00 anything"
    assert masker.text("a \udcff b") == "a \udcff b"


def test_no_place_of_a_long_output_is_ruled_out_wrongly() -> None:
    masker = Masker()
    secret = "harbour-light-keeper-7Qx"
    masker.add(Secret(secret, name="one"))
    coded = base64.b64encode(secret.encode())
    broken = b"\r\n".join(coded[at : at + 1] for at in range(len(coded)))  # one character a line
    for form in (secret.encode(), broken):
        for place in range(1000, 1060):  # around the end of what is ruled out at once
            text = b"y" * place + form + b"y" * 3000
            assert masker.mask(text).startswith(b"y" * place + b"***"), (form, place)


def test_a_secret_of_line_ends_is_found_too() -> None:
    masker = Masker()
    masker.add(Secret("a\nb\nc\n", name="lines"))
    assert masker.mask(b"x" * 2000 + b"a\nb\nc\n" + b"x" * 2000) == b"x" * 2000 + b"***" + b"x" * 2000


def test_the_beginning_of_a_secret_at_a_cut_is_left_out() -> None:
    masker = Masker()
    masker.add(Secret("harbour-light-keeper", name="one"))
    assert "harbour" not in masker.beginning("x" * 5000 + "harbour-light-kee")
    assert masker.beginning("x" * 5000).startswith("x" * 4000)
