"""Apply what an API client writes, by Autotask's rules; raise `RefusedError` as Autotask does.

Rules of the additional contacts: https://www.autotask.net/help/developerhelp/Content/APIs/REST/
Entities/TicketAdditionalContactsEntity.htm, of contacts: ContactsEntity.htm, of notes:
TicketNotesEntity.htm, same folder.
"""

from typing import Any

from sandbox.model import (
    CATCH_ALL,
    CONTACTS,
    LINKS,
    NOTES,
    TICKETS,
    Entity,
    Field,
    Record,
    RefusedError,
)
from sandbox.store import EMAIL_FIELDS, set_udf
from sandbox.switches import Switches
from sandbox.tenant import Tenant
from sandbox.tickets import MAX_LINKS

NO_SUCH_ROW = (
    "No message. No matching records found. The logged in Resource may not have the required"
    " permissions to delete the data."
)


def create_contact(tenant: Tenant, company_id: int, body: object) -> int:
    """Create a contact below a company and return its id."""
    values, udfs = read_body(CONTACTS, body, tenant.switches)
    _check_company(tenant, company_id, values)
    check_required(CONTACTS, {**values, **udfs}, tenant.required_contact_fields)
    values["companyID"] = company_id
    if values.get("receivesEmailNotifications") is None:
        values["receivesEmailNotifications"] = tenant.switches.notifications_default
    now = tenant.now()
    stamps = {"createDate": now, "lastActivityDate": now, "lastModifiedDate": now}
    _check_udfs(tenant, CONTACTS, udfs)
    contact_id = tenant.insert(CONTACTS, {"primaryContact": False, **values, **stamps})
    _store_udfs(tenant.contacts[contact_id], udfs)
    return contact_id


def change_contact(tenant: Tenant, company_id: int, body: object, *, replace: bool) -> int:
    """Change a contact of a company: PATCH keeps what is left out, PUT (`replace`) empties it."""
    values, udfs = read_body(CONTACTS, body, tenant.switches)
    contact = tenant.contacts.get(id_of(body))
    if contact is None or contact["companyID"] != company_id:
        raise RefusedError("No matching records found.")
    _check_company(tenant, company_id, values)
    if replace:
        writable = [field for field in CONTACTS.fields.values() if not field.read_only]
        emptied: Record = {field.name: None for field in writable if field.kind != "udfs"}
        values = emptied | values
        udfs = dict.fromkeys(tenant.udfs.get(CONTACTS.name, [])) | udfs
    else:
        values = _without_passed_over(values, tenant.switches)
    values["companyID"] = company_id
    check_required(CONTACTS, {**contact, **values})
    _check_udfs(tenant, CONTACTS, udfs)
    contact.update(values)
    _store_udfs(contact, udfs)
    contact["lastModifiedDate"] = tenant.now()
    return int(contact["id"])


def _without_passed_over(values: Record, switches: Switches) -> Record:
    """Leave out what would empty an e-mail field and, in this tenant, does not."""
    clearing: dict[str, tuple[str | None, ...]] = {
        "empty": ("",),
        "null": (None,),
        "either": ("", None),
        "neither": (),
    }
    clears = clearing[switches.clearing_address]
    return {
        name: value
        for name, value in values.items()
        if name not in EMAIL_FIELDS or value or value in clears
    }


def change_ticket(tenant: Tenant, body: object) -> int:
    """Change a ticket (PATCH); the contact must belong to the company it then has."""
    values, udfs = read_body(TICKETS, body, tenant.switches)
    ticket = tenant.tickets.get(id_of(body))
    if ticket is None:
        raise RefusedError("No matching records found.")
    after = {**ticket, **values}
    contact = tenant.contacts.get(after["contactID"])
    if after["contactID"] is not None and (
        contact is None or contact["companyID"] != after["companyID"]
    ):
        raise RefusedError(
            "Value does not reference an existing entity for contactID.",
            "Error updating entity for record number [1].",
        )
    for field in TICKETS.fields.values():
        if field.required and after[field.name] in (None, ""):
            raise RefusedError(f"Missing Required Field: {field.name}.")
    _check_udfs(tenant, TICKETS, udfs)
    _store_udfs(ticket, udfs)
    tenant.update_ticket(ticket["id"], person=tenant.api_resource_id, **values)
    return int(ticket["id"])


def create_link(tenant: Tenant, ticket_id: int, body: object) -> int:
    """Add an additional contact to a ticket and return the row's id."""
    values, _ = read_body(LINKS, body, tenant.switches)
    switches, ticket = tenant.switches, tenant.tickets.get(ticket_id)
    if ticket is None or values.get("ticketID", ticket_id) not in (ticket_id, None):
        raise RefusedError(_reference("ticketID", "Ticket", ticket_id, switches))
    contact_id = values.get("contactID")
    if contact_id is None:
        raise RefusedError("Missing Required Field: contactID.")
    contact = tenant.contacts.get(contact_id)
    if contact is None or contact["isActive"] != 1:
        raise RefusedError(_reference("contactID", "Contact", contact_id, switches))
    if contact["companyID"] not in _companies_allowed(tenant, ticket["companyID"]):
        raise RefusedError(switches.texts["company"])
    twins = tenant.link_rows(ticket_id, contact_id)
    if twins and switches.duplicate_link == "refused":
        raise RefusedError(switches.texts["duplicate"])
    if twins and switches.duplicate_link == "no_op":
        return int(twins[0]["id"])
    if len(tenant.link_rows(ticket_id)) >= MAX_LINKS:
        raise RefusedError(switches.texts["cap"])
    if ticket["contactID"] == contact_id:
        if switches.own_contact == "refused":
            raise RefusedError(switches.texts["own_contact"])
        ticket["contactID"] = None
    link_id = tenant.insert(LINKS, {"ticketID": ticket_id, "contactID": contact_id})
    tenant.touch(ticket_id, tenant.api_resource_id, shows=tenant.switches.link_touches_ticket)
    return link_id


def delete_link(tenant: Tenant, ticket_id: int, link_id: int) -> int:
    """Delete an additional contact's row by its own id and return that id."""
    row = tenant.links.get(link_id)
    if row is None or row["ticketID"] != ticket_id:
        raise RefusedError(NO_SUCH_ROW)
    del tenant.links[link_id]
    tenant.touch(ticket_id, tenant.api_resource_id, shows=tenant.switches.link_touches_ticket)
    return link_id


def create_note(tenant: Tenant, ticket_id: int, body: object) -> int:
    """Write a note on a ticket as the API user and return its id."""
    values, _ = read_body(NOTES, body, tenant.switches)
    if ticket_id not in tenant.tickets or values.get("ticketID", ticket_id) not in (
        ticket_id,
        None,
    ):
        raise RefusedError(_reference("ticketID", "Ticket", ticket_id, tenant.switches))
    values["ticketID"] = ticket_id
    title = ("title",) if tenant.switches.note_title == "required" else ()
    check_required(NOTES, values, title)
    for name in ("publish", "noteType"):
        field = NOTES.field(name)
        if values[name] in field.inactive or values[name] not in dict(field.picklist):
            raise RefusedError(f"{tenant.switches.texts['picklist']} {name}.")
    note_id = tenant.insert_note(ticket_id, {**values, "creatorResourceID": tenant.api_resource_id})
    tenant.touch(ticket_id, tenant.api_resource_id, shows=tenant.switches.note_touches_ticket)
    return note_id


def _companies_allowed(tenant: Tenant, company_id: int) -> tuple[int | None, ...]:
    if tenant.switches.parent_company_contact == "accepted":
        return company_id, tenant.companies[company_id]["parentCompanyID"]
    return (company_id,)


def _reference(field: str, entity: str, value: object, switches: Switches) -> str:
    if switches.reference_text == "old":
        return f"{field}: Value {value} does not exist or is invalid"
    return f"Reference value on field: {field} of type: {entity} does not exist or is invalid."


def id_of(body: object) -> int:
    fields = body if isinstance(body, dict) else {}
    value = {str(name).lower(): given for name, given in fields.items()}.get("id")
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError("Missing Required Field: id.")
    return value


def read_body(
    entity: Entity, body: object, switches: Switches
) -> tuple[Record, dict[str, str | None]]:
    """Return the writable fields, typed and under their own names, and the user-defined ones."""
    if not isinstance(body, dict):
        raise RefusedError(CATCH_ALL)
    values: Record = {}
    udfs: dict[str, str | None] = {}
    for name, value in body.items():
        field = entity.fields.get(str(name).lower())
        if field is None:
            if switches.unknown_property == "refused":
                raise RefusedError(
                    f"Could not find member '{name}' on object of type '{entity.singular}'."
                )
        elif field.kind == "udfs":
            udfs = _read_udfs(value)
        elif not field.read_only:
            values[field.name] = _typed(field, value)
    return values, udfs


def _read_udfs(value: object) -> dict[str, str | None]:
    if not isinstance(value, list) or not all(isinstance(udf, dict) for udf in value):
        raise RefusedError(CATCH_ALL)
    given = [{str(name).lower(): part for name, part in udf.items()} for udf in value]
    return {str(udf.get("name")): udf.get("value") for udf in given}


def _typed(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.kind == "str":
        if not isinstance(value, str):
            raise RefusedError(CATCH_ALL)
        if field.length is not None and len(value) > field.length:
            raise RefusedError(
                f"{field.name} must be less than or equal to {field.length} characters"
            )
        return value
    if field.kind == "bool" or field.kind == "datetime":
        if isinstance(value, bool if field.kind == "bool" else str):
            return value
        raise RefusedError(CATCH_ALL)
    if isinstance(value, bool):
        # The JSON parser's own words, seen for Contacts.isActive (n8n-nodes-autotask CHANGELOG).
        letter = str(value)[0].lower()
        raise RefusedError(f"Unexpected character encountered while parsing value: {letter}")
    try:
        return int(value) if field.kind != "float" else float(value)
    except (TypeError, ValueError):
        raise RefusedError(f"Could not convert string to integer: {value}.") from None


def _check_company(tenant: Tenant, company_id: int, values: Record) -> None:
    if company_id not in tenant.companies:
        raise RefusedError(_reference("companyID", "Account", company_id, tenant.switches))
    if values.get("companyID", company_id) not in (company_id, None):
        raise RefusedError("The companyID cannot differ from that of the parent Company.")


def check_required(entity: Entity, values: Record, more: tuple[str, ...] = ()) -> None:
    own = [field.name for field in entity.fields.values() if field.required]
    for name in (*own, *more):
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise RefusedError(f"Missing Required Field: {name}.")


def _check_udfs(tenant: Tenant, entity: Entity, udfs: dict[str, str | None]) -> None:
    for name in udfs:
        if name not in tenant.udfs.get(entity.name, []):
            raise RefusedError(f"Unable to find {name} in the {entity.singular} Entity.")


def _store_udfs(record: Record, udfs: dict[str, str | None]) -> None:
    for name, value in udfs.items():
        set_udf(record, name, value)
