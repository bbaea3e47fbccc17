"""A bundle's folder appears whole or not at all."""

from pathlib import Path

import pytest

from export.errors import ExportError
from export.folder import whole_folder


def build(out: Path, content: str, force: bool = False) -> None:
    with whole_folder(out, "bundle.json", force) as building:
        (building / "bundle.json").write_text(content)


def test_the_folder_appears_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    out = tmp_path / "new" / "bundle"
    with whole_folder(out, "bundle.json", force=False) as building:
        (building / "bundle.json").write_text("whole")
        assert not out.exists()
    assert (out / "bundle.json").read_text() == "whole"
    assert list(out.parent.iterdir()) == [out]


def test_an_existing_one_is_refused_and_untouched(tmp_path: Path) -> None:
    build(tmp_path / "bundle", "old")
    with pytest.raises(ExportError, match=r"bundle already exists.*--force"):
        build(tmp_path / "bundle", "new")
    assert (tmp_path / "bundle" / "bundle.json").read_text() == "old"


def test_force_replaces_it_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    build(out, "old")
    (out / "stale").touch()
    with pytest.raises(TypeError):
        build(out, None, force=True)  # type: ignore[arg-type]  # stopped in the middle of writing
    assert (out / "bundle.json").read_text() == "old"
    build(out, "new", force=True)
    assert {file.name: file.read_text() for file in out.iterdir()} == {"bundle.json": "new"}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_spares_what_is_no_bundle(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "thesis"
    if kind == "folder":
        out.mkdir()
        (out / "chapter.txt").write_text("years of work")
    else:
        out.write_text("years of work")
    with pytest.raises(ExportError, match=r"thesis is not a bundle.*--force will not"):
        build(out, "new", force=True)
    assert out.exists()
    assert list(tmp_path.iterdir()) == [out]


def test_the_remains_of_a_killed_export_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".bundle.partial").mkdir()
    (tmp_path / ".bundle.partial" / "debris").touch()
    build(tmp_path / "bundle", "whole")
    assert [file.name for file in (tmp_path / "bundle").iterdir()] == ["bundle.json"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["bundle"]


def test_a_replacement_killed_between_its_two_renames_is_put_back(tmp_path: Path) -> None:
    out, replaced = tmp_path / "bundle", tmp_path / ".bundle.replaced"
    build(out, "old")
    out.rename(replaced)
    with pytest.raises(ExportError, match="already exists"):
        build(out, "new")
    assert (out / "bundle.json").read_text() == "old"
    build(out, "new", force=True)
    assert (out / "bundle.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]
