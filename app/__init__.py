"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

Packages, top to bottom; an arrow points down, and none runs within a floor (pyproject.toml):

    cli/        the command line: one module per command
    web/        HTTP in: callouts, health, the admin API
    worker/     the process that claims due work, and its chores
    looks/      one look at one ticket: read, decide, act, record
    ops/        what keeps a deployment well: comparison, webhook, checks, doctor
    contacts/   contacts that we created or map: retire, restore, undo, mapping files
    sources/    where a ticket's Cc list is
    services.py the parts that a process makes once and shares
    outbound/   what every call out passes: budget, gate, tenant, mailbox
    records/    what we know: SQL only, one writer per table
    settings/   what can be configured, and structured logs without secrets and addresses
    decide/     facts in, decisions out (pure)
    due/        the queue: a ticket or chore that is due, not a job
    mail/       what strangers wrote, read safely (pure)
    db/         PostgreSQL: tables, schema, connections, an embedded server
    autotask/   Autotask's protocol, callouts, client and models
    graph/      Microsoft Graph's client and models
    fetch/      one answer of another server, bounded
"""

__version__ = "0.1.0"
