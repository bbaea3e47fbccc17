"""API keys: made once, shown once, kept as hashes."""

import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

SCOPES = ("completion", "operator")
"""What a key may be for: to have text written; to see what operators see."""

PREFIX = "plotify-"
"""What keys begin with, so that a scanner of repositories finds one that has got lost."""

NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
ENTRY = re.compile(rf"(?P<name>{NAME.pattern}):(?P<scopes>[a-z]+(?:\+[a-z]+)*):(?P<digest>[0-9a-f]{{64}})", re.ASCII)
FORM = "name:scope+scope:sha256, as `plotify key` prints it"


class KeysError(Exception):
    """Keys that cannot be read; the message names the entry."""


@dataclass(frozen=True)
class Key:
    """Who holds it, what it is for, and its sha256 in hexadecimal digits.

    A fast hash is enough: a key is 256 random bits, which nobody finds by trying, as they would a password.
    """

    name: str
    scopes: frozenset[str]
    digest: str

    @classmethod
    def make(cls, name: str, scopes: frozenset[str]) -> tuple["Key", str]:
        """A new key, and the secret that is sent with requests."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(name, scopes, _digest(secret)), secret

    @classmethod
    def read(cls, entry: str) -> "Key":
        """Raises KeysError."""
        found = ENTRY.fullmatch(entry)
        if not found:
            # The entry itself stays out of logs: somebody may have written a secret in its place.
            raise KeysError(f"an entry of {len(entry)} characters is not of the form {FORM}")
        scopes = frozenset(found["scopes"].split("+"))
        if unknown := scopes.difference(SCOPES):
            raise KeysError(f"{found['name']}: there is no scope {min(unknown)}; choose from {', '.join(SCOPES)}")
        return cls(found["name"], scopes, found["digest"])

    @property
    def entry(self) -> str:
        """What stands in the file of keys, or in the environment."""
        return f"{self.name}:{'+'.join(sorted(self.scopes))}:{self.digest}"


class Keys:
    """The keys that are valid now: those that are given, and those of a file, which is read again when it changes.

    given: entries separated by white space. file: one or more on each line, and comments after #. Raises KeysError.
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
        """Whether anybody needs a key. A file without an entry lets nobody in."""
        return bool(self._given) or self._file is not None

    def find(self, secret: str) -> Key | None:
        """The key of a secret. Takes as long whichever it is, and whether or not there is one."""
        self._refresh()
        digest, found = _digest(secret), None
        for key in (*self._given, *self._of_file):
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        """Reads the file anew if it has changed; one that cannot be read changes nothing."""
        if self._file is None or (state := _state(self._file)) == self._state:
            return
        self._state = state
        try:
            self._of_file = _read_file(self._file)
        except KeysError as error:
            logger.error("The keys stay as they were: %s", error)


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
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"{file}: cannot be read ({error})") from error
    try:
        return _read(" ".join(line.partition("#")[0] for line in lines))
    except KeysError as error:
        raise KeysError(f"{file}: {error}") from error


def _read(entries: str) -> list[Key]:
    return [Key.read(entry) for entry in entries.split()]
