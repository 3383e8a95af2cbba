"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

    main  worker  cli  demo       processes: compose the parts (desk), own their lifetimes
    webhooks  admin  health       edges: HTTP in; auth, views, pages and problems serve them
    inbox                         a delivery in, a ticket due
    look                          one look at one ticket, top to bottom
    sources  facts  decide  act   its steps: find the list, gather facts, decide (pure), carry out
    addresses  names              how a list is read, and what a contact is called (pure)
    tickets  participants  mappings  ledger
                                  what we know of tickets, of people on them, of whom addresses
                                  mean; creating once
    work  budget                  due work and its leases; slots and counters over all processes
    directory  tenant             slow facts of Autotask; which tenant this is
    models  states  db  settings  keys  log  errors
    autotask/                     Autotask's protocol and callouts (no I/O), client, models, errors
    embedded                      a PostgreSQL of our own, for trials

An arrow points down: a module imports from its own row or from rows below.
"""

__version__ = "0.1.0"
