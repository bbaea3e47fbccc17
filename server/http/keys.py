"""API keys. The server keeps only their hashes."""

import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

SCOPES = ("completion", "operator")
"""Permissions of a key: generate text; see metrics and the status page."""

PREFIX = "plotify-"
"""The beginning of every key, for scanners of leaked keys."""

NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
ENTRY = re.compile(rf"(?P<name>{NAME.pattern}):(?P<scopes>[a-z]+(?:\+[a-z]+)*):(?P<digest>[0-9a-f]{{64}})", re.ASCII)
FORM = "name:scope+scope:sha256, as `plotify key` prints it"


class KeysError(Exception):
    """The keys cannot be read. The message names the entry."""


@dataclass(frozen=True)
class Key:
    """A key: the name of its holder, its scopes, and its sha256 in hexadecimal digits.

    A fast hash is enough: nobody can guess 256 random bits, as they could a password.
    """

    name: str
    scopes: frozenset[str]
    digest: str

    @classmethod
    def make(cls, name: str, scopes: frozenset[str]) -> tuple["Key", str]:
        """Make a key. Return it, and the secret to send with requests."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(name, scopes, _digest(secret)), secret

    @classmethod
    def read(cls, entry: str) -> "Key":
        """Parse an entry. Raises KeysError."""
        found = ENTRY.fullmatch(entry)
        if not found:
            # The message leaves out the entry, which may be a secret by mistake.
            raise KeysError(f"an entry of {len(entry)} characters is not of the form {FORM}")
        scopes = frozenset(found["scopes"].split("+"))
        if unknown := scopes.difference(SCOPES):
            raise KeysError(f"{found['name']}: there is no scope {min(unknown)}; choose from {', '.join(SCOPES)}")
        return cls(found["name"], scopes, found["digest"])

    @property
    def entry(self) -> str:
        """The line for the file of keys, or the environment."""
        return f"{self.name}:{'+'.join(sorted(self.scopes))}:{self.digest}"


class Keys:
    """The valid keys: those given, and those in a file. The server reads the file again when it changes.

    given: entries separated by white space. file: entries, and comments after #. Raises KeysError.
    """

    def __init__(self, given: str = "", file: Path | None = None) -> None:
        self._given = _read(given)
        self._file = file
        self._state: object = None
        self._of_file: list[Key] = []
        if file is not None:
            self._state, self._of_file = _state(file), _read_file(file)

    @property
    def configured(self) -> bool:
        """True if clients need a key. With an empty file of keys, nobody has access."""
        return bool(self._given) or self._file is not None

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, if it is valid, in constant time."""
        self._refresh()
        digest, found = _digest(secret), None
        for key in (*self._given, *self._of_file):
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        """Read the file again if it has changed. If it cannot be read, keep the keys."""
        if self._file is None or (state := _state(self._file)) == self._state:
            return
        self._state = state
        try:
            self._of_file = _read_file(self._file)
        except KeysError as error:
            logger.error("The keys are unchanged: %s", error)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _state(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_file(file: Path) -> list[Key]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()  # Notepad begins a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"{file}: cannot be read ({error})") from error
    try:
        return _read(" ".join(line.partition("#")[0] for line in lines))
    except KeysError as error:
        raise KeysError(f"{file}: {error}") from error


def _read(entries: str) -> list[Key]:
    return [Key.read(entry) for entry in entries.split()]
