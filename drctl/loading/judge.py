"""Judges parsed texts against the names of their place: unknown names, types that do not fit, secrets out of place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drctl.core.expressions import Expression, Problem, Type, check, infer
from drctl.core.model import FieldValue, Listed, Mapped
from drctl.core.nouns import dataclass
from drctl.core.scripts import Script
from drctl.core.templates import Template
from drctl.core.values import type_name
from drctl.core.written import Formula, Text
from drctl.loading.names import as_type
from drctl.loading.suggest import did_you_mean

if TYPE_CHECKING:
    from drctl.core.diagnostics import Where
    from drctl.core.kind import FieldSpec
    from drctl.loading.names import Names
    from drctl.loading.shapes import Reading

_AS_TEXT: Final = frozenset({"text", "int", "decimal", "duration", "size", "time", "host", "any"})
_NOT_HERE: Final = "hand it over by a field that takes secrets, by `env` or `stdin`"
_SCRIPT_HINT: Final = 'hand it over by `env: {NAME: "${{ inputs.x }}"}` and write "$NAME"'
_FITS: Final[dict[str, frozenset[str]]] = {
    "text": _AS_TEXT,
    "host": frozenset({"host", "text", "any"}),
    "decimal": frozenset({"int", "decimal", "any"}),
}


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the texts of one document; `where` in each method is used when a text's own place is not known."""

    reading: Reading
    where: Where

    def report(self, problem: Problem, text: object, names: Names) -> None:
        """Report a problem at its character."""
        if self.reading.problems.full:  # finding the character walks the whole text
            return
        default = "E302" if problem.summary.startswith("there is no name") else "E304"
        code = names.codes.get(problem.summary, "E305" if "secret" in problem.summary else default)
        place = self.reading.texts.place(text, problem.offset, self.where)
        self.reading.problems.error(code, place, problem.summary, problem.hint or "")

    def condition(self, formula: Formula | None, names: Names) -> None:
        """An expression that must be true or false."""
        if formula is not None:
            self.formula(formula, names, "bool")

    def formula(self, formula: Formula, names: Names, want: Type | None = None) -> Type:
        """An expression; gives its type."""
        expression = formula.expression
        for problem in check(expression, names, want):
            self.report(problem, expression, names)
        self.groups(expression, expression, 0, names)
        found = infer(expression, names)
        if found == "secret":
            self.report(Problem(0, "a secret cannot stand here", _NOT_HERE), expression, names)
            return "any"
        return found

    def groups(self, expression: Expression, text: object, moved: int, names: Names) -> None:
        """The groups an expression names."""
        inventory = names.world.inventory
        if inventory is None:
            return
        known = {group for host in inventory.hosts.values() for group in host.groups}
        for group, offset in expression.groups():
            if group not in known:
                summary = f"the inventory '{inventory.name}' has no group {group}"
                problem = names.problem("E308", summary, did_you_mean(group, known))
                self.report(problem.moved(moved + offset), text, names)

    def template(self, template: Template | None, names: Names, want: str = "text", *, secret: bool = False) -> None:
        """A template for a field of type `want`."""
        if template is None or template.is_plain:
            return
        for problem in template.check(names):
            self.report(problem, template, names)
        for each in template.placeholders:
            self.groups(each.expression, template, each.inner, names)
        found = template.infer(names)
        inner = template.placeholders[0].inner
        if found == "secret":
            if not secret:
                self.report(Problem(inner, "a secret cannot stand here", _NOT_HERE), template, names)
        elif want == "secret":
            if found != "any":
                self.report(
                    Problem(inner, f"{found} stands where a secret is needed", "name an input of type secret"),
                    template,
                    names,
                )
        elif want not in {"any", "argv"} and found not in _FITS.get(want, frozenset({want, "any"})):
            summary = f"{found} stands where {want} is needed"
            hint = f"write {want}(...)" if found == "text" and want in {"int", "duration", "size", "time"} else None
            self.report(Problem(inner, summary, hint), template, names)

    def script(self, script: Script, names: Names) -> None:
        """A script."""
        for problem in script.check(names):
            self.report(problem, script, names)
        for binding in script.bindings:
            self.groups(binding.expression, script, binding.inner, names)
            if infer(binding.expression, names) == "secret":
                self.report(Problem(binding.offset, "a secret cannot stand in a script", _SCRIPT_HINT), script, names)

    def text(self, text: Text | None, names: Names) -> None:
        """Text for people, in every language."""
        for template in text.by_language.values() if text is not None else ():
            self.template(template, names, "any")

    def plain(self, text: Text | None) -> None:
        """A title or description: shown before anything is known, so without templates."""
        for template in text.by_language.values() if text is not None else ():
            if not template.is_plain:
                place = self.reading.texts.place(template, template.placeholders[0].offset, self.where)
                hint = "titles are shown before any value is known; hint, caution and say may hold templates"
                self.reading.problems.error("E203", place, "a template cannot stand in a title or description", hint)

    def value(self, value: FieldValue, names: Names, spec: FieldSpec) -> None:
        """The value of a field of a kind."""
        match value:
            case Template():
                self.template(value, names, "text" if spec.type == "file" else spec.type, secret=spec.secret)
            case Formula():
                self.formula(value, names)
            case Script():
                self.script(value, names)
            case Mapped() | Listed():
                want = "text" if spec.type == "argv" else "any"
                self.members(value, names, want, secret=spec.secret)
            case _:
                pass

    def members(self, value: FieldValue, names: Names, want: str = "any", *, secret: bool = False) -> None:
        """The members of a map or list, at any depth."""
        match value:
            case Template():
                self.template(value, names, want, secret=secret)
            case Mapped():
                for member in value.items.values():
                    self.members(member, names, want, secret=secret)
            case Listed():
                for member in value.items:
                    self.members(member, names, want, secret=secret)
            case _:
                pass

    @staticmethod
    def type_of(value: FieldValue, names: Names) -> Type:
        """The type of a value as far as it is known."""
        match value:
            case Template():
                return value.infer(names)
            case Mapped():
                return "map"
            case Listed():
                return "list"
            case Formula() | Script():
                return "any"
            case _:
                return as_type(type_name(value))
