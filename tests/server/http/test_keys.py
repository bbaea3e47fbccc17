"""Keys: their entries, and the file with them."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from server.cli import plotify
from server.http.keys import Key, Keys, KeysError


def made(name: str = "alice", *scopes: str) -> tuple[str, str]:
    """Return an entry, and its key."""
    key, secret = Key.make(name, frozenset(scopes or ("completion",)))
    return key.entry, secret


def test_an_entry_says_who_and_what_for_and_does_not_tell_the_key() -> None:
    entry, secret = made("alice.b-c_1", "operator", "completion")
    key = Key.read(entry)
    assert (key.name, sorted(key.scopes)) == ("alice.b-c_1", ["completion", "operator"])
    assert secret.startswith("plotify-")
    assert len(secret) > 40
    assert secret not in entry
    assert made()[1] != made()[1]


@pytest.mark.parametrize(
    "entry",
    ["alice", "alice:completion:", "alice:completion:abc", "a b:completion:" + "0" * 64, "ä:completion:" + "0" * 64],
)
def test_an_entry_that_is_none_is_refused_and_not_repeated(entry: str) -> None:
    with pytest.raises(KeysError, match="is not of the form name:scope") as caught:
        Key.read(entry)
    assert entry not in str(caught.value)


def test_a_scope_that_is_none_is_named() -> None:
    with pytest.raises(KeysError, match="alice: there is no scope admin; choose from completion, operator"):
        Key.read(made()[0].replace("completion", "admin"))


def test_without_entries_and_file_there_are_no_keys(tmp_path: Path) -> None:
    assert not Keys().configured
    assert Keys().find("anything") is None
    (tmp_path / "keys").write_text("# nobody\n")
    nobody = Keys(file=tmp_path / "keys")
    assert nobody.configured
    assert nobody.find("") is None


def test_keys_are_found_wherever_they_come_from(tmp_path: Path) -> None:
    (first, a), (second, b), (third, c) = made("a"), made("b"), made("c")
    (tmp_path / "keys").write_text(f"# ours\n\n{second}  # since spring\n{third}\n")
    keys = Keys(first, tmp_path / "keys")
    assert [key.name if key else None for key in map(keys.find, (a, b, c, f"{a}x", a[:-1]))] == [
        "a",
        "b",
        "c",
        None,
        None,
    ]


def test_a_file_of_notepad_is_read(tmp_path: Path) -> None:
    """It begins with a byte order mark, and its lines end with two characters."""
    (entry, secret), (other, _) = made(), made("bob")
    (tmp_path / "keys").write_bytes(f"\ufeff{entry}\r\n{other}\r\n".encode())
    found = Keys(file=tmp_path / "keys").find(secret)
    assert found
    assert found.name == "alice"


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys"
    (old, old_secret), (new, new_secret) = made("old"), made("new")
    file.write_text(old)
    keys = Keys(file=file)
    assert keys.find(old_secret)
    file.write_text(f"{old}\n{new}\n")
    assert keys.find(new_secret)
    assert keys.find(old_secret)
    file.write_text("a broken file")
    assert keys.find(old_secret), "those that were there before stay"
    assert "The keys are unchanged" in caplog.text
    assert "broken" not in caplog.text
    caplog.clear()
    assert keys.find(old_secret)
    assert not caplog.text, "it is said once"
    replaced = tmp_path / "replaced"
    replaced.write_text(new)
    replaced.replace(file)
    assert keys.find(old_secret) is None
    assert keys.find(new_secret)
    file.unlink()
    assert keys.find(new_secret)


def test_a_file_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"none: cannot be read \(.*No such file"):
        Keys(file=tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(KeysError, match="cannot be read"):
        Keys(file=tmp_path / "bytes")


@given(st.text())
def test_nothing_else_is_a_key(secret: str) -> None:
    assert Keys(made()[0]).find(secret) is None


def test_the_command_makes_a_key_that_works() -> None:
    result = CliRunner().invoke(plotify, ["key", "alice", "--scope", "operator", "--scope", "completion"])
    assert result.exit_code == 0, result.output
    _, secret, _, entry = result.output.splitlines()
    found = Keys(entry).find(secret)
    assert found
    assert (found.name, sorted(found.scopes)) == ("alice", ["completion", "operator"])
    refused = CliRunner().invoke(plotify, ["key", "alice:b"])
    assert refused.exit_code == 2
    assert "'alice:b' is not a name for a key" in refused.output
