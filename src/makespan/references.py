"""References to secrets: where a value is, never the value. Read in the engine's or a worker's process, at need.

env:DSN     file:/run/secrets/dsn     keyring:service/name
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from makespan.errors import GraphError, ProviderError, suggestion
from makespan.redaction import KNOWN, MIN_SECRET_CHARS

SCHEMES = ("env", "file", "keyring")
MAX_SECRET_BYTES = 1_000_000
"""A larger file is no secret but a mistake."""


class Secret:
    """A reference to a secret. Made by `ms.secret`; its value stands in no attribute and no representation.

    As a dependency it is read anew for every attempt (`scope`), so a rotated file is seen at once.
    """

    scope = "attempt"
    how = "value"
    needs: Mapping[str, Any] = {}

    def __init__(self, reference: str, *, environ: Mapping[str, str] = os.environ) -> None:
        scheme, colon, place = str(reference).partition(":")
        if not colon or scheme not in SCHEMES or not place.strip():
            raise GraphError(_not_a_reference(reference))
        if scheme == "keyring" and not all(place.rpartition("/")[::2]):
            raise GraphError(f"secret {reference!r}: write keyring:service/name")
        self.reference, self.scheme, self.place = reference, scheme, place
        self._environ = environ
        if scheme != "keyring":  # a keyring may ask its owner for a password: not before a task needs it
            KNOWN.watch(reference, self._glimpse)

    @property
    def key(self) -> str:
        """Its name in messages and in `fakes`."""
        return self.reference

    @property
    def is_quick(self) -> bool:
        """Whether reading it does not keep a loop waiting."""
        return self.scheme != "keyring"

    def make(self) -> str:
        """The value, known to the redactor before anyone has it.

        Raises:
            ProviderError (`auth`): it is not there; the message says how to set it.
        """
        value, missing = self._read()
        if not value:
            raise ProviderError(f"the secret {self.reference} {missing}", kind="auth", retryable=False)
        KNOWN.learn(value, self.reference)
        return value

    @property
    def problem(self) -> str:
        """Why it cannot be read, or not be masked; "" when all is well. Never asks a keyring."""
        value, missing = self._read() if self.scheme != "keyring" else ("not asked", "")
        if not value:
            return missing
        if len(value.strip()) < MIN_SECRET_CHARS:
            return f"is shorter than {MIN_SECRET_CHARS} characters: it cannot be masked in logs and errors"
        return ""

    def _glimpse(self) -> str | None:
        return self._read()[0]

    def _read(self) -> tuple[str | None, str]:
        """The value, or why there is none."""
        match self.scheme:
            case "env":
                value = self._environ.get(self.place)
                why = "is not set" if value is None else "is empty"
                return value, f"is missing: the environment variable {self.place} {why}; `export {self.place}=...`"
            case "file":
                return self._from_file()
            case _:
                return self._from_keyring()

    def _from_file(self) -> tuple[str | None, str]:
        path = Path(self.place).expanduser()
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            return None, f"is missing: {path} cannot be read ({error.strerror}); write the value into that file"
        if len(content) > MAX_SECRET_BYTES:
            return None, f"is no secret: {path} is larger than {MAX_SECRET_BYTES:,} bytes"
        try:
            return content.decode().strip("\r\n"), f"is missing: {path} is empty; write the value into it"
        except UnicodeDecodeError:
            return None, f"is no text: {path} is not UTF-8; store it base64-encoded and decode it in the provider"

    def _from_keyring(self) -> tuple[str | None, str]:
        service, _, name = self.place.rpartition("/")
        try:
            keyring = importlib.import_module("keyring")
        except ImportError:
            return None, "needs the package keyring: `pip install keyring`"
        try:
            value: str | None = keyring.get_password(service, name)
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own
            return None, f"cannot be read: the keyring said {type(error).__name__}; is it unlocked?"
        return value, f"is missing: the keyring has no {name!r} of {service!r}; `keyring set {service} {name}`"

    def __repr__(self) -> str:
        return f"<secret {self.reference}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)


def secret(reference: str, /) -> Secret:
    """A secret by reference: `env:NAME`, `file:/path`, `keyring:service/name`. Inject it with `ms.use(...)`.

    Raises:
        GraphError: it is no reference; what was given is not repeated, it may be the secret itself.
    """
    return Secret(reference)


def _not_a_reference(given: object) -> str:
    """Says what to write, without what was given: people paste the secret itself."""
    scheme = given.partition(":")[0] if isinstance(given, str) and ":" in given else ""
    hint = suggestion(scheme, SCHEMES) if scheme.isalpha() and len(scheme) < 10 else ""
    return (
        f"ms.secret takes a reference, never the secret itself: "
        f"write env:NAME, file:/path or keyring:service/name{hint}"
    )
