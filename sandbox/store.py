"""Keep a tenant's records: one table for each entity, each record with every property."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sandbox.calls import CallLog
from sandbox.lag import Lag, Table
from sandbox.model import (
    ATTACHMENTS,
    COMPANIES,
    CONTACTS,
    LINKS,
    NOTES,
    RESOURCES,
    TICKETS,
    Entity,
    Record,
    utc_text,
)
from sandbox.picklists import CO_MANAGING, PROFESSIONAL
from sandbox.portal_model import PORTAL_USERS

EMAIL_FIELDS = ("emailAddress", "emailAddress2", "emailAddress3")
CC_UDF = "CC"

_FIRST_IDS = {
    COMPANIES.name: 174,
    CONTACTS.name: 30683001,
    TICKETS.name: 351181,
    RESOURCES.name: 29682885,
    LINKS.name: 501,
    ATTACHMENTS.name: 7001,
    NOTES.name: 9001,
    PORTAL_USERS.name: 41,
}


class Store(CallLog):
    """The tables, and how companies, contacts and staff get into them.

    `udfs` names the user-defined fields of each entity that new records get.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.udfs: dict[str, list[str]] = {TICKETS.name: [CC_UDF]}
        self._tables: dict[str, Table] = {name: {} for name in _FIRST_IDS}
        self._ids = {name: itertools.count(first) for name, first in _FIRST_IDS.items()}
        self.companies = self._tables[COMPANIES.name]
        self.contacts = self._tables[CONTACTS.name]
        self.tickets = self._tables[TICKETS.name]
        self.resources = self._tables[RESOURCES.name]
        self.links = self._tables[LINKS.name]
        self.attachments = self._tables[ATTACHMENTS.name]
        self.notes = self._tables[NOTES.name]
        self.portal_users = self._tables[PORTAL_USERS.name]
        self._lags: dict[str, tuple[Entity, Lag]] = {}

    def table(self, entity: Entity) -> Table:
        """Return the records of an entity by id."""
        return self._tables[entity.name]

    def lag_reads(self, entity: Entity, seconds: float) -> None:
        """Let each read of an entity show what was so some seconds ago; 0: what is so now."""
        with self.lock:
            self._lags.pop(entity.name, None)
            if seconds:
                lag = Lag(timedelta(seconds=seconds), self.clock(), self.table(entity))
                self._lags[entity.name] = entity, lag

    def observe(self) -> None:
        """Remember the state of the entities whose reads lag."""
        for entity, lag in self._lags.values():
            lag.observe(self.clock(), self.table(entity))

    def shown(self, entity: Entity) -> Table:
        """Return the records of an entity that a read shows."""
        _, lag = self._lags.get(entity.name, (entity, None))
        return lag.shown(self.clock()) if lag else self.table(entity)

    def now(self) -> str:
        """Return the tenant's time in the form that records keep."""
        return utc_text(self.clock())

    def insert(self, entity: Entity, values: Record, record_id: int | None = None) -> int:
        """Store a record with every property of its entity and return its id.

        Raise KeyError for a name in `values` that the entity lacks.
        """
        with self.lock:
            record = entity.blank(self.udfs.get(entity.name, []))
            for name, value in values.items():
                if name not in record:
                    raise KeyError(f"{entity.name} has no field {name}")
                record[name] = value
            table = self.table(entity)
            free = (number for number in self._ids[entity.name] if number not in table)
            number = next(free) if record_id is None else record_id
            record["id"] = number
            table[number] = record
            self.observe()
            return number

    def add_company(
        self,
        name: str,
        web_address: str | None = None,
        parent: int | None = None,
        id: int | None = None,
        **fields: Any,
    ) -> int:
        """Add an account. Id 0 is the MSP itself, which Autotask treats as a company too."""
        values = {
            "companyName": name,
            "webAddress": web_address,
            "parentCompanyID": parent,
            "isActive": True,
            "companyType": 1,
            "ownerResourceID": _FIRST_IDS[RESOURCES.name],
            "phone": "555-0100",
            "createDate": self.now(),
            **fields,
        }
        return self.insert(COMPANIES, values, id)

    def add_contact(
        self,
        company_id: int,
        email: str | None,
        *,
        first: str = "Ana",
        last: str = "Ruiz",
        active: int = 1,
        **fields: Any,
    ) -> int:
        """Add a contact as a person would: it receives notifications unless `fields` differs."""
        if company_id not in self.companies:
            raise KeyError(f"no company {company_id}")
        now = self.now()
        values = {
            "companyID": company_id,
            "emailAddress": email,
            "firstName": first,
            "lastName": last,
            "isActive": active,
            "receivesEmailNotifications": True,
            "primaryContact": False,
            "createDate": now,
            "lastActivityDate": now,
            "lastModifiedDate": now,
            **fields,
        }
        return self.insert(CONTACTS, values)

    def change_contact(self, contact_id: int, **fields: Any) -> None:
        """Change a contact's fields as a person in the UI would: `isActive=0`, `lastName="B"`.

        Raise ValueError for another company: a contact cannot be moved (fact sheet 3.3).
        """
        with self.lock:
            contact = self.contacts[contact_id]
            if fields.get("companyID", contact["companyID"]) != contact["companyID"]:
                raise ValueError("a contact stays in its company")
            for name in fields:
                if name not in contact:
                    raise KeyError(f"{CONTACTS.name} has no field {name}")
            contact.update(fields, lastModifiedDate=self.now())

    def activate_portal(self, contact_id: int, user_name: str | None = None) -> int:
        """Activate a contact in the Client Access Portal as a person in the UI does; return the id.

        None: the user's name is the contact's address, if it has one that is still free. Who was
        in it already is active again. Raise ValueError for a name that another one has.
        """
        with self.lock:
            address = self.contacts[contact_id]["emailAddress"]
            users = self.portal_users.values()
            own = next((one for one in users if one["contactID"] == contact_id), None)
            taken = {one["userName"].lower() for one in users if one is not own}
            if user_name is not None and user_name.lower() in taken:
                raise ValueError(f"another one is called {user_name} in the portal")
            if own is not None:
                own.update(isClientPortalActive=True, userName=user_name or own["userName"])
                return int(own["id"])
            free = address if address and address.lower() not in taken else None
            formats = ("securityLevel", "dateFormat", "timeFormat", "numberFormat")
            values = {
                "contactID": contact_id,
                "isClientPortalActive": True,
                "userName": user_name or free or f"contact-{contact_id}",
                **dict.fromkeys(formats, 1),
            }
            return self.insert(PORTAL_USERS, values)

    def add_resource(
        self,
        email: str,
        *,
        email2: str | None = None,
        email3: str | None = None,
        active: bool = True,
        **fields: Any,
    ) -> int:
        """Add a user of Autotask: one of the MSP's own staff, unless `licenseType` is another."""
        values = {
            "email": email,
            "email2": email2,
            "email3": email3,
            "isActive": active,
            "userName": email.split("@")[0],
            "licenseType": PROFESSIONAL,
            **fields,
        }
        return self.insert(RESOURCES, values)

    def add_comanaging(self, contact_id: int, **fields: Any) -> int:
        """Make a contact a co-managing user, who is a resource with the contact's first address.

        https://psa.datto.com/help/DeveloperHelp/Content/APIs/REST/Entities/
        ComanagedAssociationsEntity.htm
        """
        contact = self.contacts[contact_id]
        names = {name: contact[name] for name in ("firstName", "lastName")}
        values = {**names, "licenseType": CO_MANAGING, **fields}
        return self.add_resource(str(contact["emailAddress"]), **values)

    def contacts_with(self, email: str, company_id: int | None = None) -> list[Record]:
        """Return the contacts that have an address in any e-mail field, compared without case."""
        with self.lock:
            return [
                contact
                for contact in self.contacts.values()
                if company_id in (None, contact["companyID"])
                and email.lower() in [(contact[name] or "").lower() for name in EMAIL_FIELDS]
            ]


def set_udf(record: Record, name: str, value: str | None) -> None:
    """Set a user-defined field of a record; raise KeyError when the entity has none so named."""
    for udf in record["userDefinedFields"]:
        if udf["name"] == name:
            udf["value"] = value
            return
    raise KeyError(f"no user-defined field {name}")
