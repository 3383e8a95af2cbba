"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

    main  worker  cli  demo       processes: compose the parts, own their lifetimes
    webhooks  admin  health       edges: HTTP in; auth, views, pages and problems serve them
    inbox                         a delivery in, a ticket due
    look                          one look at one ticket, top to bottom
    sources  facts  act           its steps: find the list, gather facts (then decide), carry out
    desk                          the parts that a process makes once and shares
    tickets  participants  mappings  ledger
                                  what we know of tickets, of people on them, of whom addresses
                                  mean; creating once
    budget  directory  tenant     slots and counters over all processes; slow facts of Autotask;
                                  which tenant this is
    work                          due work and its leases
    settings  models  states  db  keys  log  errors
    decide  addresses  names      pure: what is done about whom, how a list is read (with
                                  address_tokens and header_text), what a contact is called
    autotask/                     Autotask's protocol and callouts (no I/O), client, models, errors
    embedded  embedded_files      a PostgreSQL of our own, for trials

An arrow points down: a module imports from its own row or from rows below.
"""

__version__ = "0.1.0"
