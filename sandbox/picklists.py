"""Which values the fields with a picklist can have, and what people call them."""

Picklist = tuple[tuple[int, str], ...]

# Which values a tenant has is its own affair; only Complete = 5 and New = 1 are the system's.
TICKET_PICKLISTS: dict[str, Picklist] = {
    "status": ((1, "New"), (5, "Complete"), (7, "Waiting Customer"), (8, "In Progress")),
    "priority": ((1, "High"), (2, "Medium"), (3, "Low"), (4, "Critical")),
    "source": ((2, "Phone"), (4, "Email"), (6, "Website"), (8, "Monitoring Alert")),
    "queueID": ((29682833, "Service Desk"), (29682969, "Triage")),
    "ticketCategory": ((2, "AEM Alert"), (3, "Standard")),
    "ticketType": ((1, "Service Request"), (2, "Incident")),
}

# Fixed by Autotask, says .../4_Admin/1FoundationalFeatures/CompaniesContacts/COMPANIESMAIN.htm; no
# page gives the numbers. These are the usual ones.
COMPANY_TYPES: Picklist = (
    *((1, "Customer"), (2, "Lead"), (3, "Prospect"), (4, "Dead")),
    *((6, "Cancelation"), (7, "Vendor"), (8, "Partner")),
)

PROFESSIONAL, API_USER, CO_MANAGING = 3, 7, 9
LICENSE_TYPES: Picklist = (
    *((1, "Administrator"), (2, "Executive"), (PROFESSIONAL, "Professional"), (4, "Team Member")),
    *((5, "Time & Attendance"), (6, "Dashboard User"), (API_USER, "API User")),
    *((8, "Contractor"), (CO_MANAGING, "Co-Managed Help Desk")),
)

# A live tenant reported these of `publish`: customers see 1, co-managing users 4. Clients must not
# hard-code them all the same, as no page of the vendor's gives them.
NOTE_PICKLISTS: dict[str, Picklist] = {
    "noteType": ((1, "Task Summary"), (2, "Task Detail"), (3, "Task Notes"), (9, "Old Kind")),
    "publish": (
        *((1, "All Autotask Users"), (2, "Internal Users Only")),
        *((4, "Internal & Co-Managed"), (9, "Old Circle")),
    ),
}
