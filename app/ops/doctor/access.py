"""Check access to Autotask: zone, credentials, clock, and how many calls are left."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from sqlalchemy import select

from app.autotask.answers import read_record
from app.autotask.calls import Calls
from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Forbidden, Unauthorized
from app.autotask.models import Zone
from app.autotask.zone import discover_zone
from app.db.tables import Tenant
from app.ops.checks import flow, refusals
from app.ops.doctor.database import SKEW
from app.ops.doctor.deployment import Deployment, unthrottled
from app.ops.doctor.findings import Finding, Skip, ok, problem, skipped, warning
from app.outbound.budget import BUSY, HALF

_NETWORK = "Check that this machine reaches it over HTTPS: docs/setup/network.md."


async def zone(deployment: Deployment) -> Sequence[Finding]:
    """Ask Autotask where the user's tenant is. It needs no secret, so it tests the name alone."""
    settings = deployment.settings
    stored = await _stored(deployment)
    deployment.api_url = settings.autotask_api_url or (stored.api_url if stored else None)
    asked = settings.autotask_api_url or "webservices.autotask.net"
    try:
        answer = await _ask_zone(deployment)
    except Unauthorized:
        deployment.user_known = False
        return [
            problem(
                "zone",
                f"Autotask knows no API user {settings.autotask_username}.",
                "Copy the name of the API user to AUTOTASK_USERNAME: it looks like an e-mail "
                "address, and is not a person's. See docs/setup/autotask.md.",
            )
        ]
    except AutotaskError as error:
        return [problem("zone", f"{asked} does not say where the tenant is: {error}.", _NETWORK)]
    deployment.user_known = True
    url = answer.url.rstrip("/")
    deployment.api_url = settings.autotask_api_url or url
    return [_judge_zone(deployment, url, stored)]


async def _ask_zone(deployment: Deployment) -> Zone:
    settings, http = deployment.settings, deployment.services.http
    if not settings.autotask_api_url:
        return await discover_zone(http, settings.autotask_username)
    # Asked at the configured address, the only one that is sure to be reachable.
    calls = Calls(http, settings.autotask_api_url, settings.credentials, unthrottled)
    answer = await calls.get(f"/ZoneInformation?user={quote(settings.autotask_username, safe='')}")
    return read_record(answer, Zone)


def _judge_zone(deployment: Deployment, url: str, stored: Tenant | None) -> Finding:
    settings = deployment.settings
    if settings.autotask_api_url and settings.autotask_api_url.lower() != url.lower():
        found = f"AUTOTASK_API_URL is {settings.autotask_api_url}, and Autotask says {url}."
        return warning("zone", found, "Remove AUTOTASK_API_URL, or set it to what Autotask says.")
    if stored is None or stored.api_url.lower() == (deployment.api_url or "").lower():
        return ok("zone", f"The tenant's API is at {deployment.api_url}.")
    if not settings.autotask_api_url and stored.username == settings.autotask_username.casefold():
        found = f"Autotask has moved the tenant from {stored.api_url} to {url}."
        return warning("zone", found, "Nothing: the service follows by itself.")
    return problem(
        "zone",
        f"The database belongs to the tenant at {stored.api_url}, and the settings lead to "
        f"{deployment.api_url}.",
        "One deployment serves one tenant: give this one a database of its own, or correct "
        "AUTOTASK_USERNAME or AUTOTASK_API_URL.",
    )


async def credentials(deployment: Deployment) -> Sequence[Finding]:
    """Check by the cheapest call whether Autotask accepts us; a wrong user is not tried."""
    if deployment.user_known is False:
        raise Skip("the user name is wrong: see `zone`")
    if deployment.api_url is None:
        raise Skip("the address of the tenant's API is not known: see `zone`")
    given = deployment.settings.credentials
    autotask = Autotask(deployment.services.http, deployment.api_url, given, deployment.throttle())
    try:
        deployment.threshold = await autotask.use()
    except Unauthorized as error:
        return [_wrong_credentials(deployment, str(error))]
    except Forbidden as error:
        deployment.accepted = True  # only this call is forbidden
        return [warning("credentials", f"Accepted, but: {error}.", "Check the API user's level.")]
    except AutotaskError as error:
        return [problem("credentials", f"{deployment.api_url} gives no answer: {error}.", _NETWORK)]
    deployment.accepted = True
    return [ok("credentials", "Autotask accepts user name, secret and integration code.")]


def _wrong_credentials(deployment: Deployment, message: str) -> Finding:
    """Name which of the three is wrong, as far as the user name and Autotask's message show it."""
    if "integration" in message.lower():
        found = "Autotask does not accept AUTOTASK_INTEGRATION_CODE."
        cure = "Copy the API user's tracking identifier; one made for another vendor is refused."
        return problem("credentials", found, cure)
    if deployment.user_known:
        found = "Autotask knows the user, and does not accept AUTOTASK_SECRET."
    else:
        found = "Autotask does not accept AUTOTASK_USERNAME or AUTOTASK_SECRET."
    return problem(
        "credentials",
        found,
        "Generate a new secret for the API user and copy all of it, in single quotes in .env. If "
        "it is right, the user may be inactive or locked, or AUTOTASK_INTEGRATION_CODE wrong.",
    )


async def clock(deployment: Deployment) -> Sequence[Finding]:
    """Compare this machine's clock with the Date of Autotask's answers."""
    if deployment.ahead is None:
        raise Skip("no answer of Autotask had a time")
    seconds = deployment.ahead.total_seconds()
    if abs(deployment.ahead) <= SKEW:
        return [ok("clock", "This machine's clock and Autotask's agree.")]
    found = f"Autotask's clock differs from this machine's by {seconds:+.0f} s."
    return [warning("clock", found, "Synchronise this machine with a time server (NTP).")]


async def gate(deployment: Deployment) -> Sequence[Finding]:
    """Check what keeps the service from calls, as health does."""
    async with deployment.records() as session:
        shut, pause = await flow.refused(session), await flow.paused(session)
        waits = await refusals.missing_rights(session)
        between = await refusals.intercepted(session)
    found = [problem("gate", shut.detail, shut.cure)] if shut else []
    found += [problem(one.code, one.detail, one.cure) for one in waits]
    found += [warning(between.code, between.detail, between.cure)] if between else []
    found += [warning("gate", pause.detail, pause.cure)] if pause else []
    return found or [ok("gate", "Nothing keeps the service from calling Autotask.")]


async def budget(deployment: Deployment) -> Sequence[Finding]:
    """Check how many calls are used: ours of our share, and all tools' of the tenant's."""
    found = []
    if deployment.schema_fits:
        async with deployment.records() as session:
            use = await deployment.services.budget.use(session)
        text = f"{use.ours} of our {use.share} calls are used."
        cure = "Wait, or raise BUDGET_SHARE if the tenant's other tools leave room."
        tight = use.ours >= BUSY * use.share
        found.append(warning("budget", text, cure) if tight else ok("budget", text))
    if deployment.threshold is None:
        return [*found, skipped("budget_tenant", "Autotask has not said how many calls it counts.")]
    usage = deployment.threshold
    text = f"All tools together have used {usage.used} of the tenant's {usage.limit} calls."
    if usage.used < HALF * usage.limit:
        return [*found, ok("budget_tenant", text)]
    slower = "only live tickets go on" if usage.used >= BUSY * usage.limit else "we slow down"
    cure = "Find the tool that uses so many, or lower BUDGET_SHARE if it is this one."
    return [*found, warning("budget_tenant", f"{text} Now {slower}.", cure)]


async def _stored(deployment: Deployment) -> Tenant | None:
    if not deployment.schema_fits:
        return None
    async with deployment.records() as session:
        return (await session.execute(select(Tenant))).scalar_one_or_none()
