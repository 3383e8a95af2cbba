"""Every setting with its default and its rule."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from app.autotask.client import Credentials
from app.autotask.protocol import OWN_ORGANISATION
from app.decide.policy import PolicyDocument
from app.graph.client import GraphCredentials
from app.mail.addresses import address_key
from app.settings.types import (
    Addresses,
    ApiKeys,
    CcSources,
    ContactDefaults,
    DatabaseUrl,
    DefaultPolicy,
    DirectoryId,
    Domains,
    HeaderText,
    Listed,
    Numbers,
    Trimmed,
    Url,
    WebhookSecrets,
)


class Settings(BaseModel):
    """The configuration of one deployment, which serves one Autotask tenant."""

    model_config = ConfigDict(hide_input_in_errors=True, extra="ignore", frozen=True)

    database_url: DatabaseUrl | None = Field(
        None, repr=False, description="PostgreSQL; unset: an embedded one in DATA_DIR, for trials"
    )
    data_dir: Path | None = Field(None, description="where the embedded PostgreSQL keeps its data")

    autotask_username: HeaderText = Field(min_length=1, description="user name of the API user")
    autotask_secret: HeaderText = Field(min_length=1, repr=False, description="its password")
    autotask_integration_code: HeaderText = Field(
        min_length=1, repr=False, description="its tracking identifier"
    )
    autotask_api_url: Url | None = Field(
        None, description="the API's address; unset: asked from Autotask by the user name"
    )

    webhook_secrets: WebhookSecrets = Field(
        (), repr=False, description="secrets of the webhook, 16 to 64 characters; none: it is off"
    )
    public_url: Url | None = Field(
        None, description="where Autotask reaches this service: https://host, with a path at most"
    )
    webhook_repair: bool = Field(
        False, description="repair the webhook after Autotask disabled it or a person changed it"
    )
    webhook_updates: bool = Field(
        False,
        description="subscribe to changes of status and account, too: completion and moves show "
        "at once, not at the next comparison",
    )
    api_keys: ApiKeys = Field(
        (), repr=False, description="name:role:key, role read, write or intake; key 32 or more"
    )

    own_addresses: Addresses = Field((), description="the help desk's own mailboxes and aliases")
    own_domains: Domains = Field(
        (), validate_default=True, description="domains that belong to the help desk itself"
    )
    free_mail_domains: Domains = Field(
        (),
        description="further domains of mail providers: everybody can have an address there or "
        "below, so they are no account's own; the usual ones are known",
    )
    cc_sources: CcSources = Field(
        ("udf:CC", "mailbox"),
        description="Cc sources, asked in this order: udf:<name of a ticket field>, mailbox, "
        "description, eml; a source that is not configured is skipped",
    )
    cc_sources_merge: bool = Field(
        False,
        description="ask all sources and join their lists; else the first answer counts",
    )
    include_to: bool = Field(False, description="add the addresses in To, too")
    mail_ticket_sources: Numbers = Field(
        (),
        description="ids of your ticket sources that mean mail: their tickets are read again while "
        "they have no list, as tickets with a contact always are, and only they count in the "
        "share of lists found; without a contact only they get a list from the mailbox (while "
        "it is unset, those of Autotask's source 4, Email, or of none)",
    )
    graph_tenant_id: DirectoryId | None = Field(
        None, description="Microsoft 365 directory (tenant) id; the four GRAPH_ ids go together"
    )
    graph_client_id: DirectoryId | None = Field(
        None, description="application (client) id of the app"
    )
    graph_client_secret: Trimmed | None = Field(None, repr=False, description="a secret of the app")
    graph_mailbox: str | None = Field(
        None,
        validate_default=True,
        description="the mailbox in which the source `mailbox` finds a ticket's message",
    )
    graph_url: Url = Field(
        "https://graph.microsoft.com", description="Microsoft Graph; national clouds have others"
    )
    graph_login_url: Url = Field(
        "https://login.microsoftonline.com", description="where its tokens come from"
    )
    catch_all_accounts: Numbers = Field(
        (), description="accounts that collect mail of unknown senders; no one is added there"
    )
    default_policy: DefaultPolicy = Field(
        PolicyDocument(),
        description="JSON or a preset's name: what accounts allow; see docs/decision-table.md",
    )
    complete_statuses: Listed = Field(
        (),
        description="labels or ids of your ticket statuses that end a ticket, beside Complete",
    )
    loop_tickets: int = Field(
        5,
        ge=2,
        le=1000,
        description="so many tickets of one subject, from a person that we added, are a mail loop",
    )
    loop_minutes: int = Field(30, ge=1, le=1440, description="within so many minutes")
    max_new_per_sender: int = Field(
        20,
        ge=0,
        description="new outside people that one sender's mails may bring in 24 hours, with the "
        "mails of people that it brought; of the account's own domains ten times as many",
    )
    max_new_per_day: int = Field(
        500,
        ge=0,
        description="new outside people that all mails together may bring in 24 hours, those of "
        "one account a fifth of it; of the accounts' own domains ten times as many",
    )
    contact_defaults: ContactDefaults = Field(
        {}, description="JSON: further fields of new contacts that the tenant requires"
    )

    ticket_note: Literal["off", "exceptions", "internal"] = Field(
        "off",
        description="a note on the ticket about what was done: off; exceptions, only where a "
        "person is held, failed or gets no mail; or internal, on every ticket with participants",
    )
    ticket_note_publish: int | None = Field(
        None,
        validate_default=True,
        description="who sees that note: the id of the choice for internal people only, from the "
        "picklist `publish` of TicketNotes",
    )

    settle_seconds: float = Field(3, ge=0, le=600, description="from a callout to the first look")
    create_settle: float = Field(
        330, ge=1, le=3600, description="seconds until a write without an answer is looked up"
    )
    budget_share: float = Field(0.5, gt=0, le=1, description="our share of the tenant's API calls")
    budget_window: float = Field(3600, ge=1, le=3600, description="the budget's window, seconds")
    reconcile_interval: float = Field(
        300,
        ge=1,
        le=86_400,
        description="seconds between comparisons of Autotask's tickets with ours",
    )
    retention_days: int = Field(
        90, ge=1, le=3650, description="days that deliveries and looks are kept"
    )

    run_worker: bool = Field(True, description="whether the API process works on tickets, too")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    log_format: Literal["json", "console"] = Field("json", description="json or console")

    @property
    def credentials(self) -> Credentials:
        """The credentials that every call to Autotask carries."""
        return Credentials(
            self.autotask_username, self.autotask_secret, self.autotask_integration_code
        )

    @property
    def graph_credentials(self) -> GraphCredentials | None:
        """The credentials of the mailbox; None if it is not configured."""
        if not (self.graph_tenant_id and self.graph_client_id and self.graph_client_secret):
            return None
        return GraphCredentials(
            self.graph_tenant_id, self.graph_client_id, self.graph_client_secret
        )

    @property
    def our_addresses(self) -> frozenset[str]:
        """The keys of OWN_ADDRESSES and of the mailbox that we read."""
        mailbox = address_key(self.graph_mailbox or "")
        return frozenset(self.own_addresses) | ({mailbox} if mailbox else set())

    @field_validator("graph_mailbox")
    @classmethod
    def _one_mailbox(cls, value: str | None, info: ValidationInfo) -> str | None:
        value = value.strip() if value else None
        if value and address_key(value) is None:
            raise ValueError("must be an e-mail address")
        names = ("graph_tenant_id", "graph_client_id", "graph_client_secret")
        given = {name: info.data[name] for name in names if name in info.data}
        given["graph_mailbox"] = value
        missing = [name.upper() for name, text in given.items() if not text]
        if missing and len(missing) < len(given):
            raise ValueError(f"the mailbox needs {', '.join(missing)} as well")
        return value

    @field_validator("own_domains")
    @classmethod
    def _one_is_given(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("own_addresses") == ():
            raise ValueError(
                "one of OWN_ADDRESSES and OWN_DOMAINS is required, or a help-desk mailbox in a Cc "
                "becomes a mail loop"
            )
        return value

    @field_validator("ticket_note_publish")
    @classmethod
    def _publish_with_note(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and info.data.get("ticket_note", "off") != "off":
            raise ValueError("TICKET_NOTE needs it, or a note might reach the client portal")
        return value

    def is_parked(self, company_id: int) -> bool:
        """Return whether a company is ours or a catch-all account: no one is added there."""
        return company_id in (OWN_ORGANISATION, *self.catch_all_accounts)
