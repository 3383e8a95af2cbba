"""Describe the entities: their fields, types, lengths and picklists, and the refusal they share.

Names and types are those of the Swagger file that Autotask serves at
/ATServicesRest/swagger/docs/v1; lengths, required and unqueryable fields come from the help pages
below https://www.autotask.net/help/developerhelp/Content/APIs/REST/Entities/ and from generated
clients (ecitsolutions/Autotask, Anteris-Dev/autotask-client).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sandbox.picklists import (
    COMPANY_TYPES,
    LICENSE_TYPES,
    NOTE_PICKLISTS,
    TICKET_PICKLISTS,
    Picklist,
)

Record = dict[str, Any]
Kind = Literal["int", "long", "str", "float", "bool", "datetime", "udfs"]

CATCH_ALL = (
    "An unexpected error has occurred.  If the problem persists, please contact Autotask Support"
    " and reference Error ID: 1166"
)


class RefusedError(Exception):
    """Refuse a request as Autotask does: status 500 and these texts in `errors`."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.texts = texts


@dataclass(frozen=True)
class Field:
    """One field of an entity; `length` in characters, None where no source gives one."""

    name: str
    kind: Kind
    length: int | None = None
    queryable: bool = True
    required: bool = False
    read_only: bool = False
    picklist: Picklist = ()
    inactive: tuple[int, ...] = ()  # values of the picklist that old records may still have


@dataclass(frozen=True)
class Entity:
    """One record type: its route, its name in error texts, its fields by lower-cased name."""

    name: str
    singular: str
    fields: dict[str, Field]

    def field(self, name: object) -> Field:
        """Return the field of that name in any case; raise `RefusedError` when there is none."""
        found = self.fields.get(name.lower()) if isinstance(name, str) else None
        if found is None:
            raise RefusedError(f"Unable to find {name} in the {self.singular} Entity.")
        return found

    def blank(self, udf_names: list[str]) -> Record:
        """Return a record with every property: null, and one null entry for each UDF."""
        return {
            field.name: [{"name": name, "value": None} for name in udf_names]
            if field.kind == "udfs"
            else None
            for field in self.fields.values()
        }


def utc_text(moment: datetime) -> str:
    """Format as responses do: UTC, Z, and no to three decimals (trailing zeros are dropped)."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def parse_utc(text: str) -> datetime:
    """Parse a date and time; one without an offset is UTC. Raise ValueError on anything else."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def make_entity(
    name: str,
    singular: str,
    names: dict[Kind, str],
    *,
    lengths: dict[str, int] | None = None,
    required: str = "",
    read_only: str = "",
    not_queryable: str = "",
    picklists: dict[str, Picklist] | None = None,
    inactive: dict[str, tuple[int, ...]] | None = None,
) -> Entity:
    fields = [
        Field(
            field,
            kind,
            length=(lengths or {}).get(field),
            queryable=kind != "udfs" and field not in not_queryable.split(),
            required=field in required.split(),
            read_only=field == "id" or field in read_only.split(),
            picklist=(picklists or {}).get(field, ()),
            inactive=(inactive or {}).get(field, ()),
        )
        for kind, listed in names.items()
        for field in listed.split()
    ]
    return Entity(name, singular, {field.name.lower(): field for field in fields})


COMPLETE = 5

TICKETS = make_entity(
    "Tickets",
    "Ticket",
    {
        "long": "id contractServiceBundleID contractServiceID monitorID",
        "int": "apiVendorID assignedResourceID assignedResourceRoleID billingCodeID"
        " changeApprovalBoard changeApprovalStatus changeApprovalType companyID companyLocationID"
        " completedByResourceID configurationItemID contactID contractID createdByContactID"
        " creatorResourceID creatorType currentServiceThermometerRating"
        " firstResponseAssignedResourceID firstResponseInitiatingResourceID"
        " impersonatorCreatorResourceID issueType lastActivityPersonType lastActivityResourceID"
        " monitorTypeID opportunityID organizationalLevelAssociationID"
        " previousServiceThermometerRating priority problemTicketId projectID queueID rmaStatus"
        " rmaType serviceLevelAgreementID serviceThermometerTemperature source status subIssueType"
        " ticketCategory ticketType",
        "str": "changeInfoField1 changeInfoField2 changeInfoField3 changeInfoField4"
        " changeInfoField5 description externalID purchaseOrderNumber resolution rmmAlertID"
        " ticketNumber title",
        "datetime": "completedDate createDate dueDateTime firstResponseDateTime"
        " firstResponseDueDateTime lastActivityDate lastCustomerNotificationDateTime"
        " lastCustomerVisibleActivityDateTime lastTrackedModificationDateTime"
        " resolutionPlanDateTime resolutionPlanDueDateTime resolvedDateTime resolvedDueDateTime",
        "float": "estimatedHours hoursToBeScheduled serviceLevelAgreementPausedNextEventHours",
        "bool": "isAssignedToComanaged isVisibleToComanaged serviceLevelAgreementHasBeenMet",
        "udfs": "userDefinedFields",
    },
    lengths={
        "title": 255,
        "description": 8000,
        "resolution": 32000,
        "externalID": 50,
        "ticketNumber": 50,
    },
    required="companyID title status priority",
    read_only="ticketNumber createDate creatorResourceID creatorType lastActivityDate"
    " lastActivityPersonType lastTrackedModificationDateTime completedDate createdByContactID",
    not_queryable="creatorType lastActivityPersonType",
    picklists=TICKET_PICKLISTS,
)

LINKS = make_entity(
    "TicketAdditionalContacts",
    "TicketAdditionalContact",
    {"long": "id", "int": "contactID ticketID"},
    required="contactID ticketID",
)

CONTACTS = make_entity(
    "Contacts",
    "Contact",
    {
        "long": "id",
        "str": "additionalAddressInformation addressLine addressLine1 alternatePhone city"
        " emailAddress emailAddress2 emailAddress3 extension externalID facebookUrl faxNumber"
        " firstName lastName linkedInUrl middleInitial mobilePhone note phone roomNumber state"
        " title twitterUrl zipCode",
        "int": "apiVendorID companyID companyLocationID countryID impersonatorCreatorResourceID"
        " isActive namePrefix nameSuffix",
        "datetime": "bulkEmailOptOutTime createDate lastActivityDate lastModifiedDate"
        " solicitationOptOutTime",
        "bool": "isOptedOutFromBulkEmail receivesEmailNotifications primaryContact billingContact"
        " solicitationOptOut surveyOptOut",
        "udfs": "userDefinedFields",
    },
    lengths={
        **dict.fromkeys(("firstName", "lastName", "title", "note", "middleInitial"), 50),
        **dict.fromkeys(("emailAddress", "emailAddress2", "emailAddress3"), 254),
        **dict.fromkeys(("facebookUrl", "linkedInUrl", "twitterUrl"), 200),
        **dict.fromkeys(("phone", "mobilePhone", "faxNumber"), 25),
        "externalID": 50,
        "extension": 10,
        "alternatePhone": 32,
        "addressLine": 128,
        "additionalAddressInformation": 100,
        "city": 32,
        "state": 40,
        "zipCode": 16,
    },
    required="firstName lastName isActive",
    read_only="createDate lastActivityDate lastModifiedDate bulkEmailOptOutTime"
    " solicitationOptOutTime",
    not_queryable="isOptedOutFromBulkEmail solicitationOptOut surveyOptOut",
)

# Error texts and paging types call a company by its old name, Account.
COMPANIES = make_entity(
    "Companies",
    "Account",
    {
        "long": "id",
        "str": "additionalAddressInformation address1 address2 alternatePhone1 alternatePhone2"
        " billToAdditionalAddressInformation billingAddress1 billingAddress2 billToAttention"
        " billToCity billToState billToZipCode city companyName companyNumber fax phone postalCode"
        " sicCode state stockMarket stockSymbol taxID webAddress",
        "int": "apiVendorID billToCompanyLocationID billToAddressToUse billToCountryID"
        " classification companyCategoryID companyType competitorID countryID createdByResourceID"
        " currencyID impersonatorCreatorResourceID invoiceEmailMessageID invoiceMethod"
        " invoiceTemplateID marketSegmentID ownerResourceID parentCompanyID"
        " purchaseOrderTemplateID quoteEmailMessageID quoteTemplateID taxRegionID territoryID",
        "float": "assetValue surveyCompanyRating",
        "datetime": "createDate lastActivityDate lastTrackedModifiedDateTime",
        "bool": "invoiceNonContractItemsToParentCompany isActive isClientPortalActive"
        " isEnabledForComanaged isSample isTaskFireActive isTaxExempt",
        "udfs": "userDefinedFields",
    },
    required="companyName companyType ownerResourceID phone",
    picklists={"companyType": COMPANY_TYPES},
)

RESOURCES = make_entity(
    "Resources",
    "Resource",
    {
        "long": "id defaultServiceDeskRoleID",
        "str": "accountingReferenceID dateFormat email email2 email3 emailTypeCode emailTypeCode2"
        " emailTypeCode3 firstName gender homePhone initials lastName middleName mobilePhone"
        " numberFormat officeExtension officePhone payrollIdentifier resourceType timeFormat"
        " title travelAvailabilityPct userName",
        "int": "greeting licenseType locationID payrollType suffix userType",
        "datetime": "hireDate",
        "float": "internalCost surveyResourceRating",
        "bool": "isActive",
    },
    required="email",
    picklists={"licenseType": LICENSE_TYPES},
)

# https://psa.datto.com/help/DeveloperHelp/Content/APIs/General/AttachmentChanges.htm: a ticket's
# list has those of its notes and time entries too, each with the ids of both.
ATTACHMENTS = make_entity(
    "TicketAttachments",
    "TicketAttachment",
    {
        "long": "id attachedByContactID attachedByResourceID opportunityID parentID",
        "int": "creatorType impersonatorCreatorResourceID parentAttachmentID parentType publish"
        " ticketID ticketNoteID timeEntryID",
        "str": "attachmentType contentType data fullPath title",
        "datetime": "attachDate",
        "float": "fileSize",
        "bool": "isTaskAttachment",
    },
    not_queryable="creatorType data fileSize",
)

NOTES = make_entity(
    "TicketNotes",
    "TicketNote",
    {
        "long": "id",
        "int": "createdByContactID creatorResourceID impersonatorCreatorResourceID"
        " impersonatorUpdaterResourceID noteType publish ticketID",
        "str": "description title",
        "datetime": "createDateTime lastActivityDate",
    },
    lengths={"title": 250, "description": 32000},
    required="description noteType publish ticketID",
    read_only="createDateTime createdByContactID creatorResourceID lastActivityDate"
    " impersonatorCreatorResourceID impersonatorUpdaterResourceID",
    picklists=NOTE_PICKLISTS,
    inactive={"noteType": (9,), "publish": (9,)},
)

ENTITIES = {
    entity.name: entity
    for entity in (TICKETS, LINKS, ATTACHMENTS, NOTES, CONTACTS, COMPANIES, RESOURCES)
}
