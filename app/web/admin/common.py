"""Path types, services, the caller, and Autotask's errors as answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import structlog
from fastapi import Path, Request

from app.autotask.errors import AutotaskError
from app.mail.addresses import address_key
from app.outbound.rules import NotNow
from app.outbound.tenant import WrongTenant
from app.services import Services
from app.web.problems import Problem, ProblemDetails

log = structlog.get_logger()

AccountId = Annotated[int, Path(ge=0, lt=2**31, description="the company's id at Autotask")]
TicketId = Annotated[int, Path(ge=0, lt=2**63, description="the ticket's id at Autotask")]
Email = Annotated[str, Path(max_length=320, description="an e-mail address")]


def problems(**statuses: str) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for the documentation: s404="no such ticket"."""
    # Not `model`: FastAPI would declare it as application/json.
    content = {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}}
    return {
        int(name.removeprefix("s")): {"description": text, "content": content}
        for name, text in statuses.items()
    }


def services_of(request: Request) -> Services:
    """Return the process's services."""
    services: Services = request.app.state.services
    return services


def who(request: Request) -> str:
    """Return the name of the caller's key."""
    name: str = request.state.key
    return name


@contextmanager
def asking_autotask(what: str) -> Iterator[None]:
    """Raise a Problem if Autotask cannot be asked or fails; `what` names the request in the log."""
    try:
        yield
    except NotNow as wait:
        raise Problem(
            503, f"Autotask cannot be asked now: {wait.reason}.", Retry_After="60"
        ) from None
    except (AutotaskError, WrongTenant) as error:
        log.warning("autotask_not_asked", what=what, error=str(error))
        raise Problem(502, f"Autotask could not be asked: {error}") from None


def key_of(email: str) -> str:
    """Return the key of the address in a path; raise a Problem if it is not an address."""
    key = address_key(email)
    if key is None:
        raise Problem(422, "The last part of the path is not an e-mail address.")
    return key
