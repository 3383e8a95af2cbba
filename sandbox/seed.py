"""Fill a tenant with a small managed-service provider and four customers. Nothing is random."""

from dataclasses import dataclass

from sandbox.graph import HELP_DESK
from sandbox.model import COMPLETE
from sandbox.picklists import API_USER
from sandbox.tenant import Tenant


@dataclass(frozen=True)
class Seed:
    """Ids of what is worth finding again, by name."""

    # Companies: the MSP itself, a customer and its sub-organisation, two more, the last of them
    # without a web address.
    msp: int
    alpine: int
    alpine_west: int
    harbour: int
    bakery: int
    # Contacts of Alpine Dental.
    ana: int  # the usual ticket contact
    bruno: int  # has three addresses
    carla: int  # stored in mixed case
    dora: int  # inactive: left the company
    muted: int  # does not accept notifications
    vendor_at_alpine: int  # the same person as vendor_at_harbour, in two companies
    # Contacts elsewhere.
    erin_west: int
    vendor_at_harbour: int
    jurgen: int
    paul: int
    msp_manager: int
    # The MSP's staff.
    lena: int
    omar: int  # has three addresses
    ivy: int
    dispatch: int
    former: int  # inactive
    # Tickets that were there before: one open with an additional contact, one complete.
    open_ticket: int
    complete_ticket: int


def seed(tenant: Tenant) -> Seed:
    """Add the mailbox, companies, people and two old tickets; no callouts are sent for them."""
    tenant.mail.add_mailbox(HELP_DESK)
    return Seed(**_companies(tenant) | _staff(tenant) | _people(tenant) | _tickets(tenant))


VENDOR = "sam.okafor@dentsoft.example"


@dataclass(frozen=True)
class Lookalikes:
    """Ids of people and companies that are easily taken for others."""

    ida: int  # contact of Alpine Dental, who is a co-managing user, too
    robot: int  # API user, with the address of a contact of Alpine Dental
    vendor: int  # company of the type Vendor: copier.example
    lead: int  # company of the type Lead: clinic.example
    kiosk: int  # customer whose web address is gmail.com


def lookalikes(tenant: Tenant, ids: Seed) -> Lookalikes:
    """Add people with other licences, and companies of other types and with a provider's domain."""
    ida = tenant.add_contact(ids.alpine, "ida@alpine-dental.example", first="Ida", last="Brandt")
    tenant.add_comanaging(ida)
    tenant.add_contact(ids.alpine, "sync@alpine-dental.example", first="Sync", last="Account")
    return Lookalikes(
        ida=ida,
        robot=tenant.add_resource("sync@alpine-dental.example", licenseType=API_USER),
        vendor=tenant.add_company("Copier", "www.copier.example", companyType=7),
        lead=tenant.add_company("Clinic", "clinic.example", companyType=2),
        kiosk=tenant.add_company("Kiosk", "www.gmail.com"),
    )


_COMPANY_IDS = {"msp": 0, "alpine": 174, "alpine_west": 175, "harbour": 176, "bakery": 177}


def _companies(tenant: Tenant) -> dict[str, int]:
    ids = _COMPANY_IDS
    tenant.add_company("Northwind Managed IT", "www.northwind-msp.example", id=ids["msp"])
    tenant.add_company(
        "Alpine Dental Group", "https://www.alpine-dental.example/", id=ids["alpine"]
    )
    tenant.add_company(
        "Alpine Dental West",
        "west.alpine-dental.example",
        parent=ids["alpine"],
        id=ids["alpine_west"],
    )
    tenant.add_company("Harbour & Söhne GmbH", "harbour-soehne.example", id=ids["harbour"])
    tenant.add_company("Corner Bakery", id=ids["bakery"])
    return dict(ids)


def _staff(tenant: Tenant) -> dict[str, int]:
    return {
        "lena": tenant.add_resource(
            "lena@northwind-msp.example", firstName="Lena", lastName="Vogt"
        ),
        "omar": tenant.add_resource(
            "omar@northwind-msp.example",
            email2="omar.haddad@northwind-msp.example",
            email3="omar.haddad@mail.test",
            firstName="Omar",
            lastName="Haddad",
        ),
        "ivy": tenant.add_resource("Ivy@Northwind-MSP.example", firstName="Ivy", lastName="Chen"),
        "dispatch": tenant.add_resource(
            "dispatch@northwind-msp.example", firstName="Dispatch", lastName="Desk"
        ),
        "former": tenant.add_resource(
            "former@northwind-msp.example", active=False, firstName="Former", lastName="Technician"
        ),
    }


def _people(tenant: Tenant) -> dict[str, int]:
    alpine, harbour = _COMPANY_IDS["alpine"], _COMPANY_IDS["harbour"]
    add = tenant.add_contact
    return {
        "ana": add(alpine, "ana.ruiz@alpine-dental.example", primaryContact=True),
        "bruno": add(
            alpine,
            "bruno.keller@alpine-dental.example",
            first="Bruno",
            last="Keller",
            emailAddress2="bkeller@alpine-dental.example",
            emailAddress3="bruno.keller@mail.test",
        ),
        "carla": add(alpine, "Carla.Mendes@Alpine-Dental.example", first="Carla", last="Mendes"),
        "dora": add(alpine, "dora.lind@alpine-dental.example", first="Dora", last="Lind", active=0),
        "muted": add(
            alpine,
            "frontdesk@alpine-dental.example",
            first="Front",
            last="Desk",
            receivesEmailNotifications=False,
        ),
        "vendor_at_alpine": add(alpine, VENDOR, first="Sam", last="Okafor"),
        "erin_west": add(
            _COMPANY_IDS["alpine_west"], "erin@west.alpine-dental.example", first="Erin", last="Wu"
        ),
        "vendor_at_harbour": add(harbour, VENDOR, first="Sam", last="Okafor"),
        "jurgen": add(harbour, "juergen@harbour-soehne.example", first="Jürgen", last="Söhne"),
        "paul": add(_COMPANY_IDS["bakery"], "paul.corner@mail.test", first="Paul", last="Corner"),
        "msp_manager": add(
            _COMPANY_IDS["msp"], "manager@northwind-msp.example", first="Mona", last="Gerber"
        ),
    }


def _tickets(tenant: Tenant) -> dict[str, int]:
    alpine, harbour = _COMPANY_IDS["alpine"], _COMPANY_IDS["harbour"]
    ana = tenant.contacts_with("ana.ruiz@alpine-dental.example", alpine)[0]["id"]
    bruno = tenant.contacts_with("bruno.keller@alpine-dental.example", alpine)[0]["id"]
    open_ticket = tenant.new_ticket(
        alpine, contact_id=ana, title="X-ray viewer is slow & freezes", callout=False
    )
    tenant.link(open_ticket, bruno)
    complete_ticket = tenant.new_ticket(
        harbour, title="New starter on Monday", callout=False, status=COMPLETE
    )
    return {"open_ticket": open_ticket, "complete_ticket": complete_ticket}
