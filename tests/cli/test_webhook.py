"""What `webhook install`, `status`, `rotate` and `remove` say, and their exit codes."""

from __future__ import annotations

import pytest

from app.cli.webhook import change_secret, check, delete, make, run_webhook
from app.settings.environment import load_settings
from app.settings.settings import Settings
from sandbox.tenant import Tenant


@pytest.fixture
def public(environ: dict[str, str], tenant: Tenant) -> Settings:
    """Settings with a public address."""
    tenant.switches.webhook_ready_after = 0
    return load_settings(environ | {"PUBLIC_URL": "https://cc.example.com"})


def test_a_life_of_a_webhook(
    public: Settings, database_url: str, tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made, looked at, broken, mended, ended; the exit code says whether all is well."""
    assert run_webhook(public, database_url, check) == 1
    assert "WRONG webhook: there is none for https://cc.example.com" in capsys.readouterr().out
    assert run_webhook(public, database_url, make) == 0
    shown = capsys.readouterr().out
    assert "Webhook 1 is created." in shown
    assert "ok    field Ticket Number: subscribed" in shown
    tenant.outbox.subscriptions[1].active = False
    assert run_webhook(public, database_url, check) == 1
    assert "WRONG active: no: disabled" in capsys.readouterr().out
    assert run_webhook(public, database_url, make) == 0
    assert "Switched on." in capsys.readouterr().out
    assert run_webhook(public, database_url, delete) == 0
    assert "Webhook 1 is deleted." in capsys.readouterr().out
    assert run_webhook(public, database_url, delete) == 0
    assert "The service has no webhook at Autotask." in capsys.readouterr().out


def test_what_is_missing_is_a_sentence(
    settings: Settings,
    public: Settings,
    database_url: str,
    tenant: Tenant,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error, with exit code 1, and no secret in it."""
    assert run_webhook(settings, database_url, make) == 1
    assert capsys.readouterr().err.startswith("Set PUBLIC_URL first")
    assert run_webhook(public, database_url, change_secret) == 1
    said = capsys.readouterr().err
    assert said.startswith("WEBHOOK_SECRETS has one secret only.")
    assert public.webhook_secrets[0] not in said
