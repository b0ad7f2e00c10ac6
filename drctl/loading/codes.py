"""Every code a diagnostic of the loader may have, and the collector that gathers diagnostics.

A code is for ever: it is never given another meaning. `docs/diagnostics.md` is generated from this table; each code has
a long text with examples in `drctl.loading.explanations`.
E1xx is YAML itself, E2xx the shape of a document, E3xx references and types, E4xx the inventory, W a warning.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from drctl.core.diagnostics import Diagnostic, Severity, Where
from drctl.core.nouns import dataclass
from drctl.errors import DefectError

MOST_SHOWN: Final = 200
"""Diagnostics of one document; a broken generator should not print 100,000 lines."""

CODES: Final[dict[str, str]] = {
    "E100": "The file cannot be read as text: too large, not UTF-8, or with characters that a reader cannot see.",
    "E101": "The text is not YAML.",
    "E102": "A YAML tag. `!` at the start of a plain text is a tag and would be lost: put the text in quotes.",
    "E103": "An anchor or an alias. Say it twice, or use `vars`.",
    "E104": "A merge key (`<<`). Say it twice.",
    "E105": "A key that stands twice in one map.",
    "E106": "A key that is not a plain text.",
    "E107": "More than one document in a file, or none.",
    "E108": "Nested deeper than 32 levels, or more than 100,000 nodes.",
    "E109": "More problems than are shown.",
    "E110": "A `?` in a plain text inside [] or {}: readers of YAML differ there. Put the text in quotes.",
    "E201": "A key that this place does not have.",
    "E202": "A key that must be there is missing.",
    "E203": "A value of the wrong shape: a map, list or text where another is expected.",
    "E204": "A value that is not of its type, out of its range, or not among the choices.",
    "E205": "Part of the language, but not in this version. Never ignored, always refused.",
    "E206": "A name that breaks the naming rule, or a reserved word.",
    "E207": "A name that stands twice.",
    "E208": "A step must be exactly one of `do`, `run`, `steps`, `parallel`, `include`.",
    "E209": "A key that does not go with this kind of step, or with this place.",
    "E210": "Two keys that exclude each other, or a key that needs another.",
    "E211": "The effect of a step is missing, or contradicts its kind.",
    "E212": "An act without the `verify` or the `undo` that it must have.",
    "E213": "A step kind that does not exist.",
    "E214": "A step that runs at the wrong place, or at none.",
    "E215": "A look that nothing judges: it needs `expect` or `observe`.",
    "E216": "Two branches of a parallel block act on one host.",
    "E217": "A step inside `first_ok` that must not be tried again: only `read` and `idempotent` steps can.",
    "E301": "An expression, template or script that cannot be parsed.",
    "E302": "A name or a field that does not exist.",
    "E303": "A reference to a step that has not ended there: later, around it, or in another branch.",
    "E304": "Types that do not fit.",
    "E305": "A secret where a secret must not stand.",
    "E306": "A name that clashes with another of the same step.",
    "E307": "A variable that depends on itself.",
    "E308": "A host, role, group or person's role that the inventory does not have.",
    "E309": "A step named in `recheck` or `restore` that is not such a step.",
    "E310": "A table used as a single result, or a loop used without `each`; or the other way round.",
    "E311": "An included file that includes itself or lies too deep, or more included files than are read.",
    "E312": "An input that the included file does not have, or one that it needs and is not given.",
    "E401": "An inventory entry that contradicts another.",
    "E402": "A host without a host key, or with one that cannot be read.",
    "E403": "A secret that is not a reference. Its line is never printed.",
    "W001": "A comment on the line of a plain script or expression: ` #` cuts it.",
    "W002": "`not steps.x.ok` is true of a skipped step too: write `steps.x.failed`.",
    "W003": "A pipe in an act: only the exit code of its last command counts.",
    "W004": "An approval shows a figure whose look has no `expect`: it has no limit.",
    "W005": "A value of a step that may be skipped, read where the reader is not skipped with it.",
    "W006": "An act on a group of which hosts may have failed before: say `where: steps.x.here.ok`.",
    "W007": "A step needs what the runbook's own `scenario` takes away: a site, dns, sso, git, secrets, cloud-control.",
    "W008": "Nothing looks whether a change worked: no `verify` or `expect`, and no look afterwards.",
    "W009": "An approval or answer that only simulated people could give.",
    "W010": "A step promotes, and no `fence.host` stands before it: the run will refuse it.",
    "W011": "An input that nothing reads: it would be asked for in vain.",
    "W012": "A host without `address`: it is reached as ~/.ssh/config of this machine says.",
}

UNPRINTABLE_CODES: Final = frozenset({"E403"})
"""Codes whose source line may hold a secret."""


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects the diagnostics of one load: every one once, sorted by place."""

    errors: dict[Diagnostic, None] = field(default_factory=dict)
    warnings: dict[Diagnostic, None] = field(default_factory=dict)
    said: set[tuple[Where, str, str]] = field(default_factory=set)

    def error(self, code: str, where: Where, summary: str, hint: str = "") -> None:
        """Add an error."""
        if len(self.errors) < MOST_SHOWN:
            self._add(self.errors, Diagnostic(where=where, code=code, summary=summary, hint=hint))
            return
        summary = f"more than {MOST_SHOWN} problems; the others are not shown"
        self._add(
            self.errors,
            Diagnostic(where=Where(file=where.file), code="E109", summary=summary, hint="correct these first"),
        )

    def warn(self, code: str, where: Where, summary: str, hint: str = "") -> None:
        """Add a warning."""
        if len(self.warnings) < MOST_SHOWN:
            diagnostic = Diagnostic(where=where, code=code, summary=summary, hint=hint, severity=Severity.WARNING)
            self._add(self.warnings, diagnostic)

    def _add(self, found: dict[Diagnostic, None], diagnostic: Diagnostic) -> None:
        if diagnostic.code not in CODES:
            raise DefectError(f"the diagnostic code {diagnostic.code} is not in the table")
        same = diagnostic.where, diagnostic.code, diagnostic.summary
        if same not in self.said:  # with another hint it is no other problem
            self.said.add(same)
            found[diagnostic] = None

    @property
    def full(self) -> bool:
        """Whether no further error is shown. Readers stop then: hints for 100,000 wrong keys would take minutes."""
        return len(self.errors) > MOST_SHOWN

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return bool(self.errors)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Every diagnostic in the order of the text; those of a file as a whole last."""
        found = [*self.errors, *self.warnings]
        return tuple(sorted(found, key=_order))


def _order(one: Diagnostic) -> tuple[str, int, int, str, str]:
    where = one.where
    return where.file, where.line or 1 << 30, where.column, one.code, one.summary


def diagnostics_page() -> str:
    """Write `docs/diagnostics.md`: the table of codes; the long texts are what `drctl explain` prints."""
    lines = [
        "# Diagnostics",
        "",
        "What `drctl check` may say about a document. Codes never change their meaning.",
        "An error (E) refuses the document; a warning (W) is printed and the document is used.",
        "`drctl explain CODE` says why, with an example that is wrong and one that is right.",
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| {code} | {meaning} |".replace("||", "\\|\\|") for code, meaning in CODES.items()]
    return "\n".join(lines) + "\n"
