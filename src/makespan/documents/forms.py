"""Whether a value has the form its key wants, and which references it holds. `form` says which key wants which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any

from makespan.documents.form import Key
from makespan.documents.problems import Mark, Problems
from makespan.documents.reader import Tree, kind_of
from makespan.documents.references import BadReference, Reference, pieces, references
from makespan.errors import suggestion

ROLES = ("system", "user", "assistant")
_HOLDING = frozenset(
    {
        "value",
        "arguments",
        "template",
        "expression",
        "items",
        "candidates",
        "reference",
        "references",
        "seconds",
        "moment",
    }
)
"""Forms whose values may hold references."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each.value, str) for each in value)


def _is_units(value: Any) -> bool:
    return isinstance(value, dict) and all(type(each.value) is int or _is_texts(each.value) for each in value.values())


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and all(role in ROLES and isinstance(each.value, str) for role, each in value.items())
    )


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda value: isinstance(value, str), "a text"),
    "name": (lambda value: isinstance(value, str) and bool(value.strip()), "a name"),
    "whole": (lambda value: type(value) is int, "a whole number"),
    "number": (_is_number, "a number"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "texts": (lambda value: isinstance(value, str) or _is_texts(value), "a text or a list of texts"),
    "errors": (lambda value: isinstance(value, str) or _is_texts(value), "an exception's name or a list of them"),
    "units": (_is_units, "a mapping of names to whole numbers, or to lists of names"),
    "target": (lambda value: isinstance(value, str) and bool(value), "a target: module:name or ./file.py:name"),
    "function": (lambda value: isinstance(value, str) and bool(value), "a target: module:name or ./file.py:name"),
    "schedule": (lambda value: isinstance(value, dict) and bool(value), "a mapping with `cron` or `every_s`"),
    "targets": (lambda value: isinstance(value, str) or _is_texts(value), "a target or a list of them"),
    "arguments": (lambda value: isinstance(value, dict), "a mapping of parameters to values"),
    "inputs": (lambda value: isinstance(value, dict), "a mapping of names to types"),
    "types": (lambda value: isinstance(value, dict), "a mapping of names to types"),
    "tasks": (lambda value: isinstance(value, dict) and bool(value), "a mapping of names to tasks, at least one"),
    "task": (lambda value: isinstance(value, dict), "a task: a mapping"),
    "template": (_is_template, "a text, or a list of messages like `user: text`"),
    "expression": (lambda value: isinstance(value, str), "an expression over references: ${task.field} > 3"),
    "accept": (lambda value: isinstance(value, str | dict) and bool(value), "an expression over `value`, or a task"),
    "candidates": (lambda value: isinstance(value, list) and bool(value), "a list of references and tasks"),
    "alternatives": (lambda value: isinstance(value, list) and bool(value), "a list of tasks"),
    "items": (lambda value: isinstance(value, str | list), "a reference to a list, or a list"),
    "reference": (lambda value: isinstance(value, str), "a reference: ${task}"),
    "references": (lambda value: isinstance(value, str) or _is_texts(value), "a reference or a list of them"),
    "seconds": (
        lambda value: _is_number(value) or isinstance(value, str),
        "a number of seconds, or a reference to one",
    ),
    "moment": (lambda value: isinstance(value, str), "a moment like 2030-01-31T09:00:00Z, or a reference to one"),
}
"""Form to its check and the words for it. Forms that are not here take everything."""


class Forms:
    """Notes what does not fit."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def holds(self, form: str) -> bool:
        """Whether values of a form may hold references."""
        return form in _HOLDING

    def fits(self, tree: Tree, key: Key, name: str) -> bool:
        """Whether a value has the form of its key; noted if not."""
        if key.form == "choice":
            return self._is_choice(tree, key, name)
        if key.form == "template" and isinstance(tree.value, list) and tree.value:
            bad = [each for each in tree.value if not self._is_message(each)]
            return not bad
        check, wanted = _CHECKS.get(key.form, (None, ""))
        if check is not None and not check(tree.value):
            self._problems.add(tree.at, f"`{name}` is {wanted}, not {kind_of(tree)}{_unquoted(key.form, tree)}")
            return False
        if key.form in ("text", "target", "function") and "${" in tree.value.replace("$${", ""):
            self._problems.add(tree.mark_of("${"), f"`{name}` holds no references: it is known before anything runs")
            return False
        if key.form in ("reference", "references", "seconds", "moment", "items"):
            return self._is_reference(tree, key.form, name)
        return True

    def _is_message(self, tree: Tree) -> bool:
        if _is_message(tree.value):
            return True
        role = next(iter(tree.value), "") if isinstance(tree.value, dict) else ""
        at, hint = (tree.keys[role], suggestion(role, ROLES)) if role else (tree.at, "")
        self._problems.add(at, f"a message is one of `system: text`, `user: text`, `assistant: text`{hint}")
        return False

    def _is_choice(self, tree: Tree, key: Key, name: str) -> bool:
        if tree.value in key.choices and isinstance(tree.value, str):
            return True
        hint = suggestion(tree.value, key.choices) if isinstance(tree.value, str) else ""
        self._problems.add(tree.at, f"`{name}` is one of {', '.join(key.choices)}, not {kind_of(tree)}{hint}")
        return False

    def _is_reference(self, tree: Tree, form: str, name: str) -> bool:
        """Texts of these forms are references, all of them and nothing else."""
        texts = tree.value if isinstance(tree.value, list) and form == "references" else [tree]
        for text in texts:
            if isinstance(text.value, str) and form != "moment" and not text.value.strip().startswith("${"):
                said = text.value.strip()
                if form == "seconds":
                    message = f"`{name}` is a number of seconds, or a reference to one, not {kind_of(text)}"
                    self._problems.add(text.at, f"{message}; write 90 for 1m30s")
                    return False
                hint = f"; write ${{{said}}}" if said.replace(".", "").isidentifier() else ""
                self._problems.add(text.at, f"`{name}` wants a reference, not {kind_of(text)}{hint}")
                return False
        return True

    def texts(self, tree: Tree) -> Iterator[Tree]:
        """Every text in a value."""
        if isinstance(tree.value, str):
            yield tree
        for each in tree.value if isinstance(tree.value, list) else ():
            yield from self.texts(each)
        for each in tree.value.values() if isinstance(tree.value, dict) else ():
            yield from self.texts(each)

    def references(self, tree: Tree, *, is_text: bool) -> Iterator[tuple[Reference, Mark]]:
        """Every reference in a value, with its place. What is badly written is noted."""
        for text in self.texts(tree):
            try:
                found = references(text.value)
                parts = list(pieces(text.value))
            except BadReference as error:
                self._problems.add(text.mark_of(error.token), str(error))
                continue
            if found and len(parts) > 1 and not is_text:
                message = f"{found[0].token} inside a text: only prompts put texts together; pass the reference itself"
                self._problems.add(text.mark_of(found[0].token), message)
                continue
            times: dict[str, int] = {}
            for reference in found:
                nth = times[reference.token] = times.get(reference.token, -1) + 1
                yield reference, text.mark_of(reference.token, nth)


def _unquoted(form: str, tree: Tree) -> str:
    """What to do about a scalar that was meant to be a text, or the other way round."""
    if form in ("text", "name") and isinstance(tree.value, int | float):
        return "; put it in quotes"
    if form in ("whole", "number", "seconds") and isinstance(tree.value, str):
        return "; durations are seconds, as numbers: 90, not 1m30s" if tree.value[:1].isdigit() else ""
    if form == "flag" and tree.value in ("yes", "no", "on", "off"):
        return "; YAML 1.2 knows only true and false"
    return ""
