"""The command `doctor`: findings as lines or as one document, and the exit code."""

from __future__ import annotations

import json

import pytest

from app.cli.doctor import refuse_settings, run_doctor
from app.settings.environment import SettingsError, load_settings
from app.settings.settings import Settings


@pytest.mark.usefixtures("people")
def test_the_command_says_each_finding_and_its_cure(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line each, a sum at the end, and 0 where nothing is wrong; no secret is shown."""
    assert settings.database_url
    assert run_doctor(settings, settings.database_url, as_json=False) == 0
    out = capsys.readouterr().out
    assert "\nok  credentials: Autotask accepts" in out
    assert "\n -  mail_rules: " in out
    assert out.splitlines()[-1].endswith("not checked.")
    assert "0 wrong" in out
    for secret in (settings.autotask_secret, settings.autotask_integration_code):
        assert secret not in out


@pytest.mark.usefixtures("people")
def test_the_command_gives_one_document(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json, and 1 where something is wrong."""
    assert settings.database_url
    wrong = settings.model_copy(update={"autotask_secret": "wrong"})
    assert run_doctor(wrong, settings.database_url, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    [problem] = [one for one in document["findings"] if one["state"] == "problem"]
    assert (problem["code"], document["summary"]["problem"]) == ("credentials", 1)
    assert "cure" in problem


@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_settings_are_findings(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """Each setting is one, and nothing else can be examined."""
    with pytest.raises(SettingsError) as error:
        load_settings(environ | {"AUTOTASK_SECRET": "", "PORT": "x"})
    assert refuse_settings(error.value, as_json=as_json) == 1
    out = capsys.readouterr().out
    assert "AUTOTASK_SECRET: is missing" in out
    assert "PORT: " in out
