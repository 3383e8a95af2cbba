"""The way into Autotask: the zone, who we are there, the clocks, and how many calls are left."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from sqlalchemy import select

from app.autotask.answers import read_record
from app.autotask.calls import Calls
from app.autotask.client import Autotask, discover_zone
from app.autotask.errors import AutotaskError, Forbidden, Unauthorized
from app.autotask.models import Zone
from app.db.tables import Tenant
from app.ops.checks import flow
from app.ops.doctor.database import SKEW
from app.ops.doctor.deployment import Deployment, unthrottled
from app.ops.doctor.findings import Finding, Skip, ok, problem, skipped, warning
from app.outbound.budget import BUSY, HALF

_NETWORK = "See that this machine reaches it over HTTPS: docs/setup/network.md."


async def zone(deployment: Deployment) -> Sequence[Finding]:
    """Ask Autotask where the user's tenant is; that takes no secret, so it tells of the name."""
    settings = deployment.settings
    stored = await _stored(deployment)
    deployment.api_url = settings.autotask_api_url or (stored.api_url if stored else None)
    asked = settings.autotask_api_url or "webservices.autotask.net"
    try:
        told = await _ask_zone(deployment)
    except Unauthorized:
        deployment.user_known = False
        return [
            problem(
                "zone",
                f"Autotask knows no API user {settings.autotask_username}.",
                "Copy the user name of the API user to AUTOTASK_USERNAME: it looks like an e-mail "
                "address, and is not the one of a person. See docs/setup/autotask.md.",
            )
        ]
    except AutotaskError as error:
        return [problem("zone", f"{asked} does not tell where the tenant is: {error}.", _NETWORK)]
    deployment.user_known = True
    there = told.url.rstrip("/")
    deployment.api_url = settings.autotask_api_url or there
    return [_judge_zone(deployment, there, stored)]


async def _ask_zone(deployment: Deployment) -> Zone:
    settings, http = deployment.settings, deployment.services.http
    if not settings.autotask_api_url:
        return await discover_zone(http, settings.autotask_username)
    # At the address that is set, the only one that is known to be reachable; it is not believed.
    calls = Calls(http, settings.autotask_api_url, settings.credentials, unthrottled)
    answer = await calls.get(f"/ZoneInformation?user={quote(settings.autotask_username, safe='')}")
    return read_record(answer, Zone)


def _judge_zone(deployment: Deployment, there: str, stored: Tenant | None) -> Finding:
    settings = deployment.settings
    if settings.autotask_api_url and settings.autotask_api_url.lower() != there.lower():
        found = f"AUTOTASK_API_URL is {settings.autotask_api_url}, and Autotask says {there}."
        return warning(
            "zone", found, "Leave AUTOTASK_API_URL out, or set it to what Autotask says."
        )
    if stored is None or stored.api_url.lower() == (deployment.api_url or "").lower():
        return ok("zone", f"The tenant's API is at {deployment.api_url}.")
    if not settings.autotask_api_url and stored.username == settings.autotask_username.casefold():
        found = f"Autotask has moved the tenant from {stored.api_url} to {there}."
        return warning("zone", found, "Nothing: the service follows by itself.")
    return problem(
        "zone",
        f"The database belongs to the tenant at {stored.api_url}, and the settings lead to "
        f"{deployment.api_url}.",
        "One deployment serves one tenant: give this one a database of its own, or correct "
        "AUTOTASK_USERNAME or AUTOTASK_API_URL.",
    )


async def credentials(deployment: Deployment) -> Sequence[Finding]:
    """See whether Autotask lets us in, by the cheapest call; a wrong user is not tried."""
    if deployment.user_known is False:
        raise Skip("the user name is wrong: see `zone`")
    if deployment.api_url is None:
        raise Skip("where the tenant's API is has not been found: see `zone`")
    given = deployment.settings.credentials
    autotask = Autotask(deployment.services.http, deployment.api_url, given, deployment.throttle())
    try:
        deployment.threshold = await autotask.use()
    except Unauthorized as error:
        return [_wrong_credentials(deployment, str(error))]
    except Forbidden as error:
        deployment.let_in = True  # it is this call that is forbidden
        return [warning("credentials", f"Let in, yet: {error}.", "See the API user's level.")]
    except AutotaskError as error:
        return [problem("credentials", f"{deployment.api_url} gives no answer: {error}.", _NETWORK)]
    deployment.let_in = True
    return [ok("credentials", "Autotask accepts user name, secret and integration code.")]


def _wrong_credentials(deployment: Deployment, said: str) -> Finding:
    """Tell which of the three it is, as far as user name and Autotask's words allow."""
    if "integration" in said.lower():
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
        "Generate a new secret for the API user and copy it whole, in single quotes in .env. If "
        "it is right: the user may be inactive or locked, or AUTOTASK_INTEGRATION_CODE be wrong.",
    )


async def clock(deployment: Deployment) -> Sequence[Finding]:
    """Compare this machine's clock with the Date of Autotask's answers."""
    if deployment.ahead is None:
        raise Skip("no answer of Autotask's has told the time")
    seconds = deployment.ahead.total_seconds()
    if abs(deployment.ahead) <= SKEW:
        return [ok("clock", "This machine's clock and Autotask's agree.")]
    found = f"Autotask's clock differs from this machine's by {seconds:+.0f} s."
    return [warning("clock", found, "Let this machine take the time from a time server (NTP).")]


async def gate(deployment: Deployment) -> Sequence[Finding]:
    """See what keeps the service from calling, by the same checks as health."""
    async with deployment.records() as session:
        shut, pause = await flow.refused(session), await flow.paused(session)
    found = [problem("gate", shut.detail, shut.cure)] if shut else []
    found += [warning("gate", pause.detail, pause.cure)] if pause else []
    return found or [ok("gate", "Nothing keeps the service from calling Autotask.")]


async def budget(deployment: Deployment) -> Sequence[Finding]:
    """See how many calls are used: ours of our share, and all tools' of the tenant's."""
    found = []
    if deployment.schema_fits:
        async with deployment.records() as session:
            use = await deployment.services.budget.use(session)
        text = f"{use.ours} of our {use.share} calls are used."
        cure = "Wait, or raise BUDGET_SHARE if the tenant's other tools leave room."
        tight = use.ours >= BUSY * use.share
        found.append(warning("budget", text, cure) if tight else ok("budget", text))
    if deployment.threshold is None:
        return [*found, skipped("budget_tenant", "Autotask has not told how many calls it counts.")]
    told = deployment.threshold
    text = f"All tools together have used {told.used} of the tenant's {told.limit} calls."
    if told.used < HALF * told.limit:
        return [*found, ok("budget_tenant", text)]
    slower = "catching up waits" if told.used >= BUSY * told.limit else "we go slower"
    cure = "Find the tool that uses so many, or lower BUDGET_SHARE if it is this one."
    return [*found, warning("budget_tenant", f"{text} From here on {slower}.", cure)]


async def _stored(deployment: Deployment) -> Tenant | None:
    if not deployment.schema_fits:
        return None
    async with deployment.records() as session:
        return (await session.execute(select(Tenant))).scalar_one_or_none()
