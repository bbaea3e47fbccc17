"""Settings are read from the environment, and their documentation is true."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts

from server.settings import SHIPPED_MODEL, Settings, SettingsError, constraints, variable

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    table = re.findall(
        r"^\| `(PLOTIFY_\w+)` \| (?:`(.*?)` )?\|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE
    )
    defaults = {variable(setting.name): str(setting.default) for setting in fields(Settings)}
    defaults["PLOTIFY_MODEL"] = str(SHIPPED_MODEL.relative_to(ROOT))
    assert dict(table) == defaults
    assert len(table) == len(defaults)


def test_every_description_begins_its_meaning_in_the_docs() -> None:
    cells = re.findall(
        r"^\| `(PLOTIFY_\w+)` \|.*\| (.*?) \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE
    )
    plain = {name: re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell).replace("`", "") for name, cell in cells}
    for setting in fields(Settings):
        description = constraints(setting.name)[0].description
        assert description
        assert plain[variable(setting.name)].startswith(description.replace("`", "").rstrip("."))


def test_secrets_are_not_shown() -> None:
    secret = Settings(
        keys="topsecret", pictures="openai", pictures_key="topsecret", database="postgresql://a:topsecret@b"
    )
    assert "topsecret" not in repr(secret)


def test_every_setting_is_used() -> None:
    code = "".join(file.read_text() for file in (ROOT / "server").rglob("*.py") if file.name != "settings.py")
    for setting in fields(Settings):
        assert f"settings.{setting.name}" in code


def test_the_environment_is_read() -> None:
    found = Settings.read({"PLOTIFY_MODEL": "/m", "PLOTIFY_PORT": "81", "PLOTIFY_LOG_LEVEL": "info", "HOME": "/root"})
    assert found == Settings(model=Path("/m"), port=81, log_level="info")
    assert Settings.read({"PLOTIFY_PORT": ""}) == Settings()


def test_the_port_that_kubernetes_sets_by_itself_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It sets these in each pod of a namespace with a Service named plotify."""
    found = Settings.read({"PLOTIFY_PORT": "tcp://10.96.7.1:8000", "PLOTIFY_SERVICE_HOST": "10.96.7.1"})
    assert found == Settings()
    assert "PLOTIFY_PORT is ignored: Kubernetes sets it to tcp://10.96.7.1:8000" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PLOTIFY_PORT", "tcp://", "PLOTIFY_PORT is 'tcp://'; it must be a whole number from 0 to 65535"),
        ("PLOTIFY_PORT", "http", "PLOTIFY_PORT is 'http'; it must be a whole number from 0 to 65535"),
        ("PLOTIFY_PORT", "80 ", "PLOTIFY_PORT is '80 '; it must be a whole number from 0 to 65535"),
        ("PLOTIFY_PORT", "9" * 30, "it must be a whole number from 0 to 65535"),
        ("PLOTIFY_PORT", "\udcff", "it must be a whole number from 0 to 65535"),
        ("PLOTIFY_PORT", "65536", "PLOTIFY_PORT is '65536'; it must be a whole number from 0 to 65535"),
        ("PLOTIFY_QUEUE", "0", "PLOTIFY_QUEUE is '0'; it must be a whole number from 1"),
        ("PLOTIFY_LOG_LEVEL", "loud", "PLOTIFY_LOG_LEVEL is 'loud'; choose one of critical, error"),
        ("PLOTIFY_LOG_LEVEL", "\udcff", "choose one of critical, error"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings.read({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxies", "localhost"),
        ("proxies", "127.0.0.1;10.0.0.1"),
        ("proxies", "10.0.0.0/33"),
        ("hosts", "https://plotify.example"),
        ("hosts", "plotify.example:8000"),
        ("hosts", "a.*.example"),
        ("origins", "plotify.example"),
        ("origins", "https://plotify.example/"),
        ("root_path", "plotify"),
        ("root_path", "/plotify/"),
        ("root_path", "/../x?"),
    ],
)
def test_a_name_that_can_match_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable(name)} (holds|is) .*{re.escape(value.split(',')[0])}"):
        Settings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("proxies", "believed", "not_believed"),
    [
        ("127.0.0.1", ("127.0.0.1", "::ffff:127.0.0.1"), ("127.0.0.2", "::ffff:127.0.0.2", "::1")),
        ("10.1.2.3/8, ::1,", ("10.9.9.9", "::ffff:10.9.9.9", "::1"), ("11.0.0.1", "::ffff:11.0.0.1", "")),
        ("*", ("192.0.2.7", "2001:db8::1"), ()),
        ("", (), ("127.0.0.1", "")),
    ],
)
def test_proxies_are_known_by_either_form_of_their_address(
    proxies: str, believed: tuple[str, ...], not_believed: tuple[str, ...]
) -> None:
    trusted = _TrustedHosts(Settings(proxies=proxies).trusted_proxies)
    assert all(host in trusted for host in believed)
    assert not any(host in trusted for host in not_believed)
