"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

    main  worker  cli  demo       processes: compose the parts, own their lifetimes; double, the
                                  sandbox alone; show, what the command line shows of a list
    webhooks  admin  health       edges: HTTP in; auth, views, pages and problems serve them
    inbox                         a delivery in, a ticket due
    look                          one look at one ticket, top to bottom
    sources  facts  act           its steps: find the list, gather facts (then decide), carry out
    desk  us                      the parts that a process makes once and shares; who is no customer
    tickets  participants  mappings  ledger
                                  what we know of tickets, of people on them, of whom addresses
                                  mean; creating once
    budget  directory  tenant  mailbox
                                  slots and counters over all processes; slow facts of Autotask;
                                  which tenant this is; the mailbox, and what keeps us from it
    work                          due work and its leases
    environment  settings  models  states  db  keys  log  errors
    messages  header_blocks  mail_files
                                  pure: which mail is a ticket's own; what a description (with
                                  html_lines) or an .eml says of it
    decide  addresses  names      pure: what is done about whom, how a list is read (with
                                  address_tokens and header_text), what a contact is called
    autotask/                     Autotask's protocol and callouts (no I/O), client, sending,
                                  models, errors
    graph/                        Microsoft Graph's client, models, errors
    embedded  embedded_files      a PostgreSQL of our own, for trials

An arrow points down: a module imports from its own row or from rows below.
"""

__version__ = "0.1.0"
