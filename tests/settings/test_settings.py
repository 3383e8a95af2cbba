"""The configuration: what is read, what is refused, and that no secret shows."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.decide.policy import PolicyDocument
from app.records import audit
from app.settings.environment import SettingsError, load_settings
from app.settings.keys import ApiKey
from app.settings.settings import Settings

KEY = "k" * 32
LEAST = {
    "AUTOTASK_USERNAME": "api-user@northwind-msp.example",
    "AUTOTASK_SECRET": "hunter2-of-autotask",
    "AUTOTASK_INTEGRATION_CODE": "CODEOFAUTOTASK",
    "OWN_DOMAINS": "northwind-msp.example",
}


def message(changes: dict[str, str]) -> str:
    """Give what is said about a configuration that is refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(LEAST | changes)
    return str(caught.value)


def test_the_least_that_is_needed() -> None:
    """Everything else has a default, and no secret has one."""
    settings = load_settings(LEAST)
    assert settings.model_dump(exclude=set(map(str.lower, LEAST))) == {
        "database_url": None,
        "data_dir": None,
        "autotask_api_url": None,
        "webhook_secrets": (),
        "public_url": None,
        "webhook_repair": False,
        "webhook_updates": False,
        "api_keys": (),
        "own_addresses": (),
        "free_mail_domains": (),
        "cc_sources": ("udf:CC", "mailbox"),
        "cc_sources_merge": False,
        "include_to": False,
        "mail_ticket_sources": (),
        "graph_tenant_id": None,
        "graph_client_id": None,
        "graph_client_secret": None,
        "graph_mailbox": None,
        "graph_url": "https://graph.microsoft.com",
        "graph_login_url": "https://login.microsoftonline.com",
        "catch_all_accounts": (),
        "default_policy": dict.fromkeys(PolicyDocument.model_fields),
        "complete_statuses": (),
        "loop_tickets": 5,
        "loop_minutes": 30,
        "max_new_per_sender": 20,
        "max_new_per_day": 500,
        "contact_defaults": {},
        "ticket_note": "off",
        "ticket_note_publish": None,
        "settle_seconds": 3,
        "create_settle": 330,
        "budget_share": 0.5,
        "budget_window": 3600,
        "reconcile_interval": 300,
        "retention_days": 90,
        "run_worker": True,
        "host": "127.0.0.1",
        "port": 8000,
        "log_format": "json",
    }
    headers = settings.credentials.headers()
    assert list(headers.values()) == list(LEAST.values())[:3]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATABASE_URL", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("DATABASE_URL", "postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("DATABASE_URL", "postgresql+psycopg://u@/d?host=/x", "postgresql+psycopg://u@/d?host=/x"),
        ("DATA_DIR", "data/here", Path("data/here")),
        ("AUTOTASK_API_URL", "https://x.example/A/", "https://x.example/A"),
        ("AUTOTASK_API_URL", "HTTPS://x.example/A", "HTTPS://x.example/A"),
        ("AUTOTASK_API_URL", "http://127.0.0.1:9100/A", "http://127.0.0.1:9100/A"),
        ("AUTOTASK_API_URL", "http://localhost:9100/A", "http://localhost:9100/A"),
        ("AUTOTASK_API_URL", "http://[::1]:9100/A/", "http://[::1]:9100/A"),
        ("WEBHOOK_SECRETS", f" {'a' * 16} , {'b' * 64},", ("a" * 16, "b" * 64)),
        ("API_KEYS", f"x:read:{KEY}", (ApiKey("x", "read", KEY),)),
        (
            "API_KEYS",
            f" a:write:{KEY}, b:intake:{KEY}:with:colons ,",
            (ApiKey("a", "write", KEY), ApiKey("b", "intake", f"{KEY}:with:colons")),
        ),
        ("OWN_ADDRESSES", "Help@MSP.test , it@msp.test", ("help@msp.test", "it@msp.test")),
        ("OWN_ADDRESSES", "desk@Bücher.example", ("desk@xn--bcher-kva.example",)),
        ("OWN_DOMAINS", "MSP.example, @other.example", ("msp.example", "other.example")),
        ("OWN_DOMAINS", "bücher.example", ("xn--bcher-kva.example",)),
        ("FREE_MAIL_DOMAINS", "Island.example, @web.test", ("island.example", "web.test")),
        ("CC_SOURCES", "udf:CC, udf:Copied people", ("udf:CC", "udf:Copied people")),
        ("CC_SOURCES", "eml,description,mailbox,eml", ("eml", "description", "mailbox")),
        ("CC_SOURCES", "udf: CC", ("udf:CC",)),
        ("CC_SOURCES_MERGE", "true", True),
        ("INCLUDE_TO", "true", True),
        ("MAIL_TICKET_SOURCES", "4, 7", (4, 7)),
        ("GRAPH_URL", "https://graph.microsoft.us/", "https://graph.microsoft.us"),
        ("GRAPH_URL", "https://graph.microsoft.com/v1.0", "https://graph.microsoft.com"),
        ("GRAPH_LOGIN_URL", "http://127.0.0.1:9100/login", "http://127.0.0.1:9100/login"),
        ("CATCH_ALL_ACCOUNTS", "0, 175", (0, 175)),
        ("DEFAULT_POLICY", "guarded", PolicyDocument(preset="guarded")),
        ("DEFAULT_POLICY", '{"outside": "hold"}', PolicyDocument(outside="hold")),
        ("DEFAULT_POLICY", '{"denied": ["@X.example"]}', PolicyDocument(denied=("x.example",))),
        ("DEFAULT_POLICY", "{}", PolicyDocument()),
        ("MAX_NEW_PER_SENDER", "0", 0),
        ("MAX_NEW_PER_DAY", "9", 9),
        ("CONTACT_DEFAULTS", '{"title": "via e-mail"}', {"title": "via e-mail"}),
        ("SETTLE_SECONDS", "0", 0),
        ("CREATE_SETTLE", "1.5", 1.5),
        ("BUDGET_SHARE", "1", 1),
        ("BUDGET_WINDOW", "60", 60),
        ("RUN_WORKER", "false", False),
        ("RUN_WORKER", "0", False),
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", "0", 0),
        ("LOG_FORMAT", "console", "console"),
    ],
)  # fmt: skip
def test_each_setting_is_read(name: str, value: str, expected: object) -> None:
    """Lists by commas, blanks around them do not count; addresses become keys."""
    assert getattr(load_settings(LEAST | {name: value}), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://hunter2@h/d"),
        ("DATABASE_URL", "hunter2"),
        ("AUTOTASK_API_URL", "http://hunter2.example/A"),
        ("AUTOTASK_API_URL", "http://127.0.0.1@hunter2.example/A"),
        ("AUTOTASK_API_URL", "http://localhost.hunter2.example/A"),
        ("AUTOTASK_API_URL", "http://10.0.0.1/hunter2"),
        ("AUTOTASK_API_URL", "ftp://hunter2.example/"),
        ("AUTOTASK_API_URL", "https://[hunter2"),
        ("AUTOTASK_API_URL", "hunter2"),
        ("WEBHOOK_SECRETS", "hunter2"),
        ("WEBHOOK_SECRETS", "a" * 16 + ",hunter2"),
        ("WEBHOOK_SECRETS", "hunter2" + "x" * 60),
        ("API_KEYS", "hunter2"),
        ("API_KEYS", f"hunter2:admin:{KEY}"),
        ("API_KEYS", f"hunter2:READ:{KEY}"),
        ("API_KEYS", f"{audit.CLI}:read:{KEY}hunter2"),
        ("API_KEYS", f"CLI:read:{KEY}hunter2"),
        ("API_KEYS", f":read:{KEY}hunter2"),
        ("API_KEYS", "x:read:hunter2"),
        ("API_KEYS", f"a:read:{KEY}hunter2,b:write:{KEY}hunter2"),
        ("API_KEYS", f"hunter2:read:{KEY},hunter2:write:{KEY}x"),
        ("OWN_ADDRESSES", "hunter2"),
        ("OWN_ADDRESSES", "Help <hunter2@msp.example>"),
        ("OWN_ADDRESSES", "help@msp.example; hunter2@msp.example"),
        ("OWN_DOMAINS", "hunter2@msp.example"),
        ("OWN_DOMAINS", "hunter2 .example"),
        ("FREE_MAIL_DOMAINS", "hunter2@msp.example"),
        ("CC_SOURCES", "hunter2"),
        ("CC_SOURCES", "udf:CC,hunter2"),
        ("CC_SOURCES", "udf: "),
        ("CC_SOURCES", ","),
        ("MAIL_TICKET_SOURCES", "Email hunter2"),
        ("GRAPH_TENANT_ID", "../hunter2"),
        ("GRAPH_CLIENT_ID", "hunter2?"),
        ("GRAPH_URL", "http://hunter2.example"),
        ("GRAPH_URL", "https://"),
        ("GRAPH_URL", "https:///hunter2"),
        ("GRAPH_URL", "https://graph.example/?x=hunter2"),
        ("GRAPH_URL", "https://graph.example:99999/hunter2"),
        ("GRAPH_TENANT_ID", ".."),
        ("GRAPH_LOGIN_URL", "https://x:hunter2@login.example"),
        ("CATCH_ALL_ACCOUNTS", "1,hunter2"),
        ("DEFAULT_POLICY", "hunter2"),
        ("DEFAULT_POLICY", '["hunter2"]'),
        ("DEFAULT_POLICY", '{"preset": "hunter2"}'),
        ("DEFAULT_POLICY", '{"hunter2": "hold"}'),
        ("DEFAULT_POLICY", '{"denied": ["hunter2 x"]}'),
        ("DEFAULT_POLICY", '{"own_domains": ["hunter2.example"]}'),
        ("MAX_NEW_PER_SENDER", "-1"),
        ("MAX_NEW_PER_DAY", "hunter2"),
        ("CONTACT_DEFAULTS", "{hunter2"),
        ("CONTACT_DEFAULTS", '["hunter2"]'),
        ("CONTACT_DEFAULTS", '{"EmailAddress": "hunter2"}'),
        ("SETTLE_SECONDS", "-1"),
        ("SETTLE_SECONDS", "nan"),
        ("CREATE_SETTLE", "0"),
        ("CREATE_SETTLE", "inf"),
        ("BUDGET_SHARE", "0"),
        ("BUDGET_SHARE", "1.01"),
        ("BUDGET_SHARE", "nan"),
        ("BUDGET_WINDOW", "3601"),
        ("BUDGET_WINDOW", "hunter2"),
        ("RUN_WORKER", "hunter2"),
        ("PORT", "65536"),
        ("PORT", "hunter2"),
        ("LOG_FORMAT", "hunter2"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(name: str, value: str) -> None:
    """One line for the setting, nothing of its value: it may be a secret in the wrong place."""
    heading, *lines = message({name: value}).splitlines()
    assert heading == "The configuration needs attention:"
    assert {line.partition(":")[0].strip() for line in lines} == {name}
    assert all(len(line) < 200 for line in lines)
    assert "hunter2" not in "".join(lines)
    assert KEY not in "".join(lines)


MAILBOX = {
    "GRAPH_TENANT_ID": "5f1c0b7e-0000-4000-8000-000000000001",
    "GRAPH_CLIENT_ID": "5f1c0b7e-0000-4000-8000-000000000002",
    "GRAPH_CLIENT_SECRET": "hunter2-of-graph",
    "GRAPH_MAILBOX": "Help@MSP.example",
}


def test_the_mailbox_is_ours() -> None:
    """What is sent to it comes back to us, so it is an own address without being listed."""
    settings = load_settings(LEAST | MAILBOX)
    assert settings.graph_credentials
    assert settings.our_addresses == {"help@msp.example"}
    assert "hunter2-of-graph" not in repr(settings)
    assert load_settings(LEAST).graph_credentials is None
    blanks = {"GRAPH_MAILBOX": " help@msp.example ", "GRAPH_CLIENT_SECRET": "hunter2-of-graph\n"}
    trimmed = load_settings(LEAST | MAILBOX | blanks)
    assert trimmed.graph_mailbox == "help@msp.example"
    assert trimmed.graph_client_secret == "hunter2-of-graph"


@pytest.mark.parametrize("name", MAILBOX)
def test_half_a_mailbox_is_a_mistake(name: str) -> None:
    """Passing it over in silence would leave every ticket without a list."""
    given = {other: value for other, value in MAILBOX.items() if other != name}
    assert f"the mailbox needs {name} as well" in message(given)
    assert "hunter2" not in message(given)


def test_a_mailbox_is_an_address() -> None:
    """A display name would be looked up in vain."""
    text = message(MAILBOX | {"GRAPH_MAILBOX": "hunter2"})
    assert text.splitlines()[1:] == ["  GRAPH_MAILBOX: must be an e-mail address"]


def test_all_problems_are_in_one_message() -> None:
    """Missing ones say what they are for, wrong ones what would be right."""
    with pytest.raises(SettingsError) as caught:
        load_settings(
            {"PORT": "x", "API_KEYS": "y", "DATABASE_URL": "z", "OWN_DOMAINS": "msp.test"}
        )
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.split(":")[0].strip() for line in lines) == [
        "API_KEYS", "AUTOTASK_INTEGRATION_CODE", "AUTOTASK_SECRET", "AUTOTASK_USERNAME",
        "DATABASE_URL", "PORT",
    ]  # fmt: skip
    assert "  AUTOTASK_SECRET: is missing (its password)" in lines


def test_one_of_our_own_addresses_is_required() -> None:
    """And the message says why."""
    text = message({"OWN_DOMAINS": ""})
    assert "one of OWN_ADDRESSES and OWN_DOMAINS is required" in text
    assert "mail loop" in text
    assert "one of OWN_ADDRESSES and OWN_DOMAINS is required" in message({"OWN_DOMAINS": " , "})
    assert load_settings(LEAST | {"OWN_DOMAINS": "", "OWN_ADDRESSES": "help@msp.example"})


def test_our_own_addresses_are_named_with_the_others() -> None:
    """All that is missing is named at once, or the second start fails as well."""
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert "AUTOTASK_SECRET" in str(caught.value)
    assert "OWN_ADDRESSES" in str(caught.value)


@pytest.mark.parametrize("name", ["AUTOTASK_SECRET", "AUTOTASK_USERNAME"])
def test_an_empty_value_is_none(name: str) -> None:
    """As compose files and .env templates have them."""
    assert f"{name}: is missing" in message({name: ""})
    assert load_settings(LEAST | {"PORT": "", "HOST": "", "DATABASE_URL": ""}).port == 8000


def test_names_are_read_in_any_casing_and_others_passed_over() -> None:
    """The environment has much that is not for us."""
    settings = load_settings(LEAST | {"port": "81", "PATH": "/bin", "PORT_FILE": "/nowhere"})
    assert settings.port == 81


# --- secrets from files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("AUTOTASK_SECRET", "from-a-file\n", "from-a-file"),
        ("AUTOTASK_INTEGRATION_CODE", " from-a-file \r\n", "from-a-file"),
        ("DATABASE_URL", "postgresql://u@h/d\n", "postgresql+psycopg://u@h/d"),
        ("WEBHOOK_SECRETS", "a" * 16 + ",\n" + "b" * 16 + "\n", ("a" * 16, "b" * 16)),
        ("API_KEYS", f"x:read:{KEY}\n", (ApiKey("x", "read", KEY),)),
    ],
)
def test_a_secret_can_be_a_file(tmp_path: Path, name: str, content: str, expected: object) -> None:
    """As container platforms hand them over, with a line's end."""
    (tmp_path / "file").write_text(content)
    environ = {key: value for key, value in LEAST.items() if key != name}
    settings = load_settings(environ | {f"{name}_FILE": str(tmp_path / "file")})
    assert getattr(settings, name.lower()) == expected


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    """Both are more likely a mistake than a wish."""
    (tmp_path / "file").write_text("hunter2-in-a-file")
    text = message({"AUTOTASK_SECRET_FILE": str(tmp_path / "file")})
    assert text.splitlines()[1:] == ["  AUTOTASK_SECRET: set it or AUTOTASK_SECRET_FILE, not both"]


def _bytes_that_are_no_text(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"\xff\xfehunter2")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "make",
    [lambda tmp: tmp / "absent", lambda tmp: tmp, _bytes_that_are_no_text],
    ids=["absent", "a directory", "no text"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Any) -> None:
    """With the kind of error, without its content."""
    text = message({"WEBHOOK_SECRETS_FILE": str(make(tmp_path))})
    assert "WEBHOOK_SECRETS_FILE: cannot be read" in text
    assert "hunter2" not in text


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    """Somebody meant to give a database; an empty one of our own would be used instead."""
    (tmp_path / "file").write_text("\n")
    assert "DATABASE_URL" in message({"DATABASE_URL_FILE": str(tmp_path / "file")})


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2\n",
        "hunt\ner2",
        "hünter2",
        "hunter2\x00",
        pytest.param(" hunter2 "),
    ],
)
def test_credentials_fit_a_header(secret: str) -> None:
    """Refused here, or made to fit: otherwise every call fails and says nothing of the cause."""
    try:
        settings = load_settings(LEAST | {"AUTOTASK_SECRET": secret})
    except SettingsError as error:
        text = str(error)
        assert "AUTOTASK_SECRET" in text
        assert "hunter2" not in text
    else:
        assert settings.autotask_secret == "hunter2"


# --- where they come from ------------------------------------------------------------------------


def test_the_environment_wins_over_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `.env` is that of the working directory."""
    lines = [f"{name}={value}" for name, value in LEAST.items()]
    (tmp_path / ".env").write_text("\n".join([*lines, "PORT=81", "HOST=0.0.0.0", "LOG_FORMAT"]))
    monkeypatch.chdir(tmp_path)
    for name in [*LEAST, "HOST"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "82")

    settings = load_settings()
    assert (settings.port, settings.host) == (82, "0.0.0.0")
    assert settings.autotask_secret == LEAST["AUTOTASK_SECRET"]


def test_an_env_file_is_read_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dollar is a dollar, and what the environment sets to nothing stays unset."""
    for name in LEAST:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "")
    lines = [f"{name}={value}" for name, value in LEAST.items() if name != "AUTOTASK_SECRET"]
    path = tmp_path / "other.env"
    path.write_text("\n".join([*lines, "AUTOTASK_SECRET='a${PATH}b'", "PORT=81"]))
    settings = load_settings(env_file=path)
    assert settings.autotask_secret == "a${PATH}b"
    assert settings.port == 8000


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_an_env_file_that_is_not_utf_8_is_named(tmp_path: Path, encoding: str) -> None:
    """As some editors save it."""
    path = tmp_path / "other.env"
    path.write_text("AUTOTASK_SECRET=hünter2", encoding=encoding)
    with pytest.raises(SettingsError, match=r"other\.env is not UTF-8: save it as UTF-8") as raised:
        load_settings(env_file=path)
    assert "nter2" not in str(raised.value)


def test_an_env_file_may_begin_with_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some editors write UTF-8."""
    for name in LEAST:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "other.env"
    path.write_text("\n".join(f"{n}={v}" for n, v in LEAST.items()), encoding="utf-8-sig")
    load_settings(env_file=path)


def test_values_given_to_the_class_alone_come_from_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """load_settings is the one reader of the environment."""
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"port": "hunter2"})
    assert "autotask_secret" in str(caught.value)
    assert "hunter2" not in str(caught.value)


# --- nothing shows -------------------------------------------------------------------------------


def test_no_secret_shows_in_a_repr() -> None:
    """Settings end up in tracebacks and in logs of others."""
    secrets = {
        "DATABASE_URL": "postgresql://u:hunter2@h/d",
        "AUTOTASK_SECRET": "hunter2-a",
        "AUTOTASK_INTEGRATION_CODE": "hunter2-b",
        "WEBHOOK_SECRETS": "hunter2" + "c" * 16,
        "API_KEYS": f"x:read:hunter2{KEY}",
    }
    settings = load_settings(LEAST | secrets)
    shown = f"{settings!r} {settings} {settings.credentials!r} {settings.api_keys!r}"
    assert "hunter2" not in shown
    assert "api-user@northwind-msp.example" in shown


def test_no_value_shows_in_the_error_behind_the_error() -> None:
    """A traceback of it prints the whole chain."""
    environ = LEAST | dict.fromkeys(["WEBHOOK_SECRETS", "API_KEYS", "PORT"], "hunter" + "2")
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
