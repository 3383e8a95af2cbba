"""Answer the entityInformation routes: what an entity can do, its fields, its UDFs."""

from collections.abc import Collection
from typing import Any, get_args

from sandbox import rights
from sandbox.model import LINKS, TICKETS, Entity, Field
from sandbox.switches import Switches, Verb
from sandbox.tenant import Tenant
from sandbox.webhook_model import UDF_FIELDS

_DATA_TYPES = {
    "int": "integer",
    "long": "long",
    "str": "string",
    "float": "double",
    "bool": "boolean",
    "datetime": "datetime",
}
_REFERENCES = {"contactID": "Contact", "companyID": "Account", "ticketID": "Ticket"}


def entity_info(tenant: Tenant, entity: Entity) -> dict[str, Any]:
    """Return `info`; access levels are by name, one of the two spellings seen."""
    levels = {
        f"userAccessFor{verb.capitalize()}": rights.level(tenant, verb, entity.name)
        for verb in get_args(Verb)
    }
    return {
        "name": entity.singular,
        "canCreate": True,
        "canDelete": entity is LINKS,
        "canQuery": True,
        "canUpdate": entity is not LINKS,
        **levels,
        **({"userAccessForUpdate": "None"} if entity is LINKS else {"userAccessForDelete": "None"}),
        "hasUserDefinedFields": "userdefinedfields" in entity.fields,
        "supportsWebhookCallouts": entity is not LINKS,
    }


def field_info(entity: Entity, required: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return one description a field, picklist values as text.

    `required`: fields that this tenant wants beyond Autotask's own.
    """
    return [
        {
            "name": field.name,
            "dataType": _DATA_TYPES[field.kind],
            "length": field.length or 0,
            "isRequired": field.required or field.name in required,
            "isReadOnly": field.read_only,
            "isQueryable": field.queryable,
            "isReference": field.name in _REFERENCES,
            "referenceEntityType": _REFERENCES.get(field.name, ""),
            "isPickList": bool(field.picklist),
            "picklistValues": _picklist(field) if field.picklist else None,
            "picklistParentValueField": "",
            "isSupportedWebhookField": entity is TICKETS and field.queryable,
        }
        for field in entity.fields.values()
        if field.kind != "udfs"
    ]


def udf_info(names: list[str]) -> list[dict[str, Any]]:
    """Return one description a user-defined field; all of them are long text."""
    return [
        {
            "name": name,
            "label": name,
            "type": "string",
            "length": 8000,
            "description": "",
            "isRequired": False,
            "isReadOnly": False,
            "isQueryable": True,
            "isReference": False,
            "referenceEntityType": "",
            "isPickList": False,
            "picklistValues": None,
            "picklistParentValueField": "",
            "defaultValue": None,
            "isSupportedWebhookField": True,
        }
        for name in names
    ]


def webhook_field_info(
    entity: Entity, choices: list[tuple[int, str]], switches: Switches
) -> list[dict[str, Any]]:
    """Return the descriptions of a webhook's fields; which there are is the first's picklist."""
    own = "udfFieldID" if entity is UDF_FIELDS else "fieldID"
    shown = field_info(entity)
    for field in shown:
        field["isSupportedWebhookField"] = False
        if field["name"] == own:
            field["isPickList"] = True
            field["picklistValues"] = [
                {
                    "value": str(value),
                    "label": label,
                    "isDefaultValue": False,
                    "sortOrder": order,
                    "parentValue": "",
                    "isActive": True,
                    "isSystem": True,
                }
                for order, (value, label) in enumerate(choices, 1)
            ]
            if entity is UDF_FIELDS:
                field["name"] = switches.webhook_udf_field_name
    return shown


def _picklist(field: Field) -> list[dict[str, Any]]:
    return [
        {
            "value": str(value),
            "label": label,
            "isDefaultValue": order == 0,
            "sortOrder": order + 1,
            "parentValue": "",
            "isActive": value not in field.inactive,
            "isSystem": value in (1, 5) and field.name == "status",
        }
        for order, (value, label) in enumerate(field.picklist)
    ]
