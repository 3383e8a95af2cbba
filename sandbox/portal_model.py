"""Describe who may use the Client Access Portal: a contact's user there.

https://www.autotask.net/help/developerhelp/Content/APIs/REST/Entities/ClientPortalUsersEntity.htm
"""

from sandbox.model import make_entity

# The picklists and what they mean are not published, so none is here.
PORTAL_USERS = make_entity(
    "ClientPortalUsers",
    "ClientPortalUser",
    {
        "long": "id",
        "int": "contactID securityLevel dateFormat timeFormat numberFormat",
        "bool": "isClientPortalActive",
        "str": "userName password",
    },
    lengths={"userName": 200, "password": 50},
    required="contactID securityLevel dateFormat timeFormat numberFormat userName",
    not_queryable="password",
)
