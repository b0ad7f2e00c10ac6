"""Secrets: finding them where the inventory says they are, and keeping them out of everything that is shown or stored.

A reference is resolved at the moment of use and never written down. The masker stands before the journal and before the
screen: it knows the forms a secret takes on its way through shells, URLs, JSON and base64, and it works on streams, so
that a secret cut in two by a packet is found as well. It cannot know forms nobody thought of: not showing a secret at
all is still the first defence.
"""

import base64
import itertools
import json
import os
import re
import shlex
import stat
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

from drctl.adapters.s3_secrets import NotReadError, read_from_aws
from drctl.core.inventory import SecretRef
from drctl.core.values import Secret
from drctl.errors import RefusedError

LEAST_LENGTH: Final = 6
"""Characters below which a secret is refused: masking it would eat half of every text, and anyone could guess it."""
_MOST_BYTES = 64 * 1024
_COMMAND_SECONDS = 30.0
_STARS = b"***"
_LINE_END = rb"(?:\r?\n)?"
_LINE_ENDS: Final = b"\r\n"
_QUADS: Final = 5
"""How many bytes of a form, line ends left out, hold the two runs of four by which a place is ruled out."""
_WITHIN: Final = 24
"""How many bytes of a form are looked through for these."""
_COARSE, _FINE = 1024, 64
"""Bytes of a text that are ruled out at once; those of the second number are tried one by one when they are not."""
_BROKEN: Final = 3
"""How much longer an encoded form is at most when a line end stands behind each of its characters."""


_MASKERS: "list[Masker]" = []  # of the whole process: an error that nobody foresaw comes out where no session is left


def starred(text: str) -> str:
    """A text without any secret that was resolved in this process: for errors, which come from anywhere."""
    for masker in _MASKERS:
        text = masker.text(text)
    return text


class Secrets:
    """Resolves references, each once in a process, and makes the masker know what it found. Safe in several threads.

    Args:
        masker: is told every secret that is resolved.
        base: folder that relative paths of `file` references start in: that of the inventory.
        environment: where `env` references look.
        aws: reads `ssm` and `secretsmanager` references; drctl's own reader if not given.
    """

    def __init__(
        self,
        masker: "Masker",
        base: Path,
        environment: Mapping[str, str] | None = None,
        aws: Callable[[SecretRef], bytes] = read_from_aws,
    ) -> None:
        self._masker = masker
        _MASKERS.append(masker)
        self._aws = aws
        self._base = base
        self._environment = os.environ if environment is None else environment
        self._known: dict[SecretRef, Secret] = {}
        self._lock = threading.Lock()

    def resolve(self, ref: SecretRef) -> Secret:
        """Find a secret.

        Raises:
            RefusedError: when it is not there, unsafe or too short; the message names the reference, never the value.
        """
        with self._lock:
            known = self._known.get(ref)
            if known is None:
                known = Secret(self._checked(ref, self._sources(ref)), name=str(ref))
                self._masker.add(known)
                self._known[ref] = known
            return known

    def _sources(self, ref: SecretRef) -> str:
        match ref.source, ref.target:
            case "env", (name,):
                return self._from_environment(ref, name)
            case "file", (path,):
                return _from_file(ref, self._base / Path(path).expanduser())
            case "cmd", (_, *_):
                return _from_command(ref)
            case (("ssm" | "secretsmanager"), (_,)):
                return self._from_aws(ref)
            case _:
                return _refuse(ref, "is no reference drctl knows", "write env:, file:, cmd:, ssm: or secretsmanager:")

    def _from_aws(self, ref: SecretRef) -> str:
        try:
            return _text(ref, self._aws(ref))
        except NotReadError as error:
            _refuse(ref, error.what, error.then)

    def _from_environment(self, ref: SecretRef, name: str) -> str:
        value = self._environment.get(name)
        if value is None:
            _refuse(
                ref, f"the environment variable {name} is not set", f"export {name}=... in the shell that starts drctl"
            )
        return value

    def _checked(self, ref: SecretRef, value: str) -> str:
        if len(value) < LEAST_LENGTH:
            what = "is empty" if not value else f"has fewer than {LEAST_LENGTH} characters"
            _refuse(ref, f"the secret {what}", "use a longer one: a short secret can be neither hidden nor kept")
        if "\0" in value:
            _refuse(ref, "the secret holds a NUL character", "give it as text")
        return value


def _refuse(ref: SecretRef, what: str, then: str) -> NoReturn:
    raise RefusedError(what, where=f"secret {ref}", meaning="Nothing was sent with this secret.", next=then)


def _from_file(ref: SecretRef, path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        _refuse(ref, f"{path} cannot be opened: {error.strerror}", f"ls -l {shlex.quote(str(path))}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            _refuse(ref, f"{path} is no ordinary file", "name the file that holds the secret")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            _refuse(ref, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {shlex.quote(str(path))}")
        if status.st_uid not in {0, os.geteuid()}:
            _refuse(
                ref, f"{path} belongs to another user", f"chown it to the user who runs drctl, and chmod 600 {path}"
            )
        data = b""
        while len(data) <= _MOST_BYTES and (piece := os.read(descriptor, _MOST_BYTES)):
            data += piece
    finally:
        os.close(descriptor)
    return _text(ref, data)


def _from_command(ref: SecretRef) -> str:
    import subprocess  # noqa: PLC0415 - most plans ask no command

    program = ref.target[0]
    try:
        done = subprocess.run(
            ref.target, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
    except OSError as error:
        _refuse(ref, f"{program} cannot be started: {error.strerror}", f"command -v {shlex.quote(program)}")
    except subprocess.TimeoutExpired:
        _refuse(ref, f"{program} gave nothing within {_COMMAND_SECONDS:.0f} s", "run it by hand; it must not ask")
    if done.returncode != 0:
        # its stderr is not repeated: it may hold what it could not hand over
        _refuse(ref, f"{program} ended with exit code {done.returncode}", f"run it by hand: {shlex.join(ref.target)}")
    return _text(ref, done.stdout)


def _text(ref: SecretRef, data: bytes) -> str:
    """The text without its last newline, which editors and commands add."""
    if len(data) > _MOST_BYTES:
        _refuse(ref, "the secret is longer than 64 KiB", "this is not the right file or command")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        _refuse(ref, "the secret is not UTF-8 text", "store it as text, for instance in base64")


# --- masking ----------------------------------------------------------------------------------------------------------


def forms(secret: str) -> tuple[set[bytes], set[bytes]]:
    """The ways a secret may be written in output, each at least as long as the shortest secret allowed.

    The second set is of those that are encoded: tools break them into lines, each at a column of its own.
    """
    lines = {line.strip() for line in secret.splitlines()}
    texts = {secret, secret.strip(), *(line for line in lines if len(line) >= LEAST_LENGTH)}
    written = {way.encode(errors="surrogatepass") for text in texts for way in _written(text)}
    encoded = {way for text in texts for way in _encoded(text.encode(errors="surrogatepass"))}
    return {form for form in written if len(form) >= LEAST_LENGTH}, {
        form for form in encoded if len(form) >= LEAST_LENGTH
    }


_JSON_OF_GO = re.compile("[<>&\u2028\u2029]")  # its encoder escapes these as it comes: kubectl, terraform, vault


def _written(text: str) -> Iterator[str]:
    import html  # noqa: PLC0415 - it loads every name of a character, and most plans have no secret

    yield text
    for ascii_only in (True, False):
        in_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield in_json
        yield json.dumps(in_json, ensure_ascii=ascii_only)[1:-1]  # JSON inside JSON, as log collectors write it
    for in_json in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield _JSON_OF_GO.sub(lambda found: f"\\u{ord(found[0]):04x}", in_json)
        yield in_json.replace("/", "\\/")  # as PHP writes it
        yield re.sub(r"\\u[0-9a-f]{4}", lambda found: f"\\u{found[0][2:].upper()}", in_json)
    yield text.replace("'", "''")  # in SQL, and in YAML
    yield repr(text)[1:-1]
    for quote in (urllib.parse.quote, urllib.parse.quote_plus):
        for safe in ("", "/"):
            escaped = quote(text, safe=safe, errors="surrogatepass")
            yield escaped
            yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), escaped)
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text, flags=re.ASCII)  # as bash's printf %q and `set -x` write it
    yield re.sub(r'(["$`\\])', r"\\\1", text)
    in_html = html.escape(text)
    yield in_html
    yield in_html.replace("&#x27;", "&#39;")
    yield html.escape(text, quote=False)


def _encoded(data: bytes) -> Iterator[bytes]:
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for offset in range(3):
        # the characters at both ends also carry bits of the neighbours: only those in between are the secret's own
        coded = base64.b64encode(bytes(offset) + data)
        begin = (offset * 8 + 5) // 6
        end = (offset + len(data)) * 8 // 6
        inner = coded[begin:end]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


class _Finder:
    """Finds where forms begin. Most places are ruled out by sets of four bytes, which is far quicker than a pattern.

    Line ends are left out of what is compared, so that a form broken into lines is not missed; a place that is not
    ruled out is only a place to look at, and the pattern of the forms with that first byte decides.
    """

    def __init__(self, written: set[bytes], encoded: set[bytes]) -> None:
        self._patterns: dict[int, re.Pattern[bytes]] = {}
        self._by_first: dict[int, dict[bytes, bytes]] = {}
        self._quads: set[int] = set()
        self._sure = True  # whether every form has the bytes by which a place is ruled out
        self._reach = 1  # bytes behind a place, line ends included, in which those bytes stand
        for form in written:
            self._know(form, re.escape(form))
        for form in encoded:
            self._know(form, _LINE_END.join(re.escape(form[at : at + 1]) for at in range(len(form))))

    def _know(self, form: bytes, pattern: bytes) -> None:
        self._by_first.setdefault(form[0], {})[form] = pattern
        plain = [at for at, byte in enumerate(form) if byte not in _LINE_ENDS][:_WITHIN]
        self._sure = self._sure and len(plain) >= _QUADS
        if len(plain) < _QUADS:
            return
        bare = bytes(form[at] for at in plain)
        # words of a language stand in every output, and rule out little: where a form changes its manner it is rare
        begin = max(range(len(bare) - _QUADS + 1), key=lambda at: (_changes(bare[at : at + _QUADS]), -at))
        behind = begin + _QUADS
        self._reach = max(self._reach, plain[behind - 1] + 1, behind * _BROKEN)
        # the text is read at every other byte: of these two one is seen, wherever the form begins
        self._quads.update(int.from_bytes(bare[at : at + 4], sys.byteorder) for at in (begin, begin + 1))

    def match(self, data: bytes, place: int) -> int:
        """Where the longest form that begins at a place ends, 0 if none begins there."""
        first = data[place] if place < len(data) else -1
        known = self._by_first.get(first)
        if known is None:
            return 0
        pattern = self._patterns.get(first)
        if pattern is None:
            by_length = sorted(known, key=lambda form: (-len(form), form))
            pattern = self._patterns[first] = re.compile(b"|".join(known[form] for form in by_length))
        found = pattern.match(data, place)
        return found.end() if found else 0

    def places(self, data: bytes, begin: int, end: int) -> Iterator[int]:
        """Every place in a range at which a form may begin, in order."""
        small = end - begin <= _COARSE  # of what is larger, most likely some place is not ruled out
        if self._sure and small and not self._may(data[begin : end + self._reach]):
            return
        if end - begin <= _FINE:
            yield from range(begin, end)
            return
        step = _COARSE if end - begin > _COARSE else _FINE
        for at in range(begin, end, step):
            yield from self.places(data, at, min(end, at + step))

    def _may(self, data: bytes) -> bool:
        joined = memoryview(data.translate(None, _LINE_ENDS))
        views = (joined[at : at + (len(joined) - at) // 4 * 4] for at in (0, 2) if len(joined) >= at + 4)
        return not all(self._quads.isdisjoint(view.cast("I")) for view in views)


def _changes(part: bytes) -> int:
    """How often letters, capitals, digits and signs take turns."""
    kinds = [(sign.islower(), sign.isupper(), sign.isdigit()) for sign in part.decode("latin-1")]
    return sum(one != other for one, other in itertools.pairwise(kinds))


class Masker:
    """Replaces every form of every known secret by ***. Safe in several threads."""

    def __init__(self) -> None:
        self._written: set[bytes] = set()
        self._encoded: set[bytes] = set()
        self._finder: _Finder | None = None
        self._lock = threading.Lock()
        self.longest = 0

    def add(self, secret: Secret) -> None:
        """Know one more secret from now on."""
        with self._lock:
            written, encoded = forms(secret.reveal())
            self._written |= written
            self._encoded |= encoded
            self.longest = max((*map(len, self._written), *(len(form) * _BROKEN for form in self._encoded)), default=0)
            self._finder = None

    def _known(self) -> _Finder | None:
        """What is looked for; made when it is needed, since every secret makes it anew. None without a secret."""
        with self._lock:
            if self._finder is None and self.longest:
                self._finder = _Finder(self._written, self._encoded)
            return self._finder

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where forms of secrets stand, merged where they overlap."""
        finder = self._known()
        merged: list[tuple[int, int]] = []
        position = 0
        for begin in finder.places(data, 0, len(data)) if finder is not None else ():
            if begin < position or finder is None or not (end := finder.match(data, begin)):
                continue
            place = begin + 1
            while place <= end:  # another form may begin inside this one, or right behind it
                end = max(end, finder.match(data, place))
                place += 1
            merged.append((begin, end))
            position = end
        return merged

    def mask(self, data: bytes) -> bytes:
        """Mask a whole piece of output."""
        stream = self.stream()
        return stream.feed(data) + stream.close()

    def text(self, text: str) -> str:
        """Mask a whole text."""
        if not self.longest:
            return text
        return self.mask(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def beginning(self, text: str) -> str:
        """Mask the beginning of a text that goes on: what may be the beginning of a secret at its end is left out."""
        if not self.longest:
            return text
        return self.stream().feed(text.encode(errors="surrogatepass")).decode(errors="ignore")

    def stream(self) -> "MaskedStream":
        """A stream that masks what flows through it."""
        return MaskedStream(self.spans, lambda: self.longest)


class MaskedStream:
    """Masks a stream, whatever pieces it comes in: it holds back what may be the beginning of a secret."""

    def __init__(self, spans: Callable[[bytes], list[tuple[int, int]]], longest: Callable[[], int]) -> None:
        self._spans = spans
        self._longest = longest
        self._held = b""
        self._covered = 0  # how much of what is held was masked already

    def feed(self, data: bytes) -> bytes:
        """Take a piece in, and give what is safe to show."""
        self._held += data
        return self._give(len(self._held) - max(0, self._longest() - 1))

    def close(self) -> bytes:
        """Give the rest."""
        return self._give(len(self._held))

    def _give(self, until: int) -> bytes:
        if until <= 0:
            return b""
        shown = bytearray()
        position = covered = self._covered
        for begin, end in self._spans(self._held):
            if begin >= until:
                break
            shown += self._held[position : max(position, begin)]
            if begin > covered or (begin == covered and covered == 0):
                shown += _STARS
            position = covered = max(covered, end)
        shown += self._held[position : max(position, until)]
        self._held = self._held[until:]
        self._covered = max(0, covered - until)
        return bytes(shown)
