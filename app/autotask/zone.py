"""Where a tenant's API is: .../REST/General_Topics/REST_Zones.htm"""

from __future__ import annotations

import httpx

from app.autotask import protocol
from app.autotask.answers import read_record
from app.autotask.calls import REQUEST_SECONDS
from app.autotask.errors import Unanswered
from app.autotask.meaning import decipher
from app.autotask.models import Zone
from app.autotask.sending import send

_ZONES = "https://webservices.autotask.net/ATServicesRest"


async def discover_zone(http: httpx.AsyncClient, username: str) -> Zone:
    """Read the zone of a user's tenant; needs no other credentials.

    Raise Unauthorized for an unknown user, Unanswered for a zone that is not Autotask's.
    """
    url = f"{protocol.api_root(_ZONES)}/ZoneInformation"
    request = http.build_request("GET", url, params={"user": username})
    answer = await send(http, request, REQUEST_SECONDS)
    zone = read_record(decipher(*answer), Zone)
    if not protocol.is_zone_url(zone.url):
        raise Unanswered("the zone's address is not one of Autotask's")
    return zone
