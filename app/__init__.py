"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

    main  worker  cli  demo       processes: compose the parts, own their lifetimes; double, the
                                  sandbox alone; show, what the command line shows of a list;
                                  report, what it shows of a backtest; running,
                                  the start and the end of serve and worker; undo_command,
                                  contacts_command and others
    webhooks  admin  health       edges: HTTP in; auth, views, pages and problems serve them;
                                  mapping_files, mappings as CSV
    inbox                         a delivery in, a ticket due
    look                          one look at one ticket, top to bottom; preview, what one would
                                  come to; backtest, what it would have for last month's;
                                  undo, taking back what looks did
    moves  merges  loops          a ticket that has moved, was merged, or shows a mail loop
    chores                        what is done from time to time: reconcile, what no callout told
                                  of; follow, how tickets stand; retire, contacts that are to end;
                                  webhook_care, is the webhook as it should be; retention
    doctor  watch                 what is wrong with a set-up; one ticket followed live
    sources  facts  act           its steps: find the list, gather facts (then decide), carry out;
                                  known, what is so before Autotask is asked; writes, what leaves;
                                  restoring, who is brought back; unlinking, what comes off;
                                  notes, what is told on the ticket
    desk  us  holding             the parts that a process makes once and shares; who is no
                                  customer; a ticket or chore to oneself
    tickets  participants  mappings  ledger  policies  audit  watermark
                                  what we know of tickets, of people on them, of whom addresses
                                  mean; creating once, with note_ledger for notes; what accounts
                                  allow; who did what; judging, people's word about who is held;
                                  forgetting an address; traces, what we did for a ticket;
                                  watermark, how far tickets were compared; lifetimes, contacts
                                  that are ended and brought back; loop_records, loops that were
    budget  gate  directory  tenant  mailbox
                                  slots and counters over all processes, and the pace; what stops
                                  all calls; slow facts of Autotask; which tenant this is; the
                                  mailbox, and what keeps us from it
    work                          due work and its leases; backlog, what waits and who works
    environment  settings  models  states  db  keys  log  errors
                                  setting_types, what settings are written as; note_text, pure:
                                  what a note says
    messages  header_blocks  mail_files
                                  pure: which mail is a ticket's own; what a description (with
                                  html_lines) or an .eml says of it
    decide  policy  addresses  names
                                  pure: what is done about whom, what is allowed, how a list is read
                                  (with address_tokens, header_text), what a contact is called;
                                  csv_cells, what no spreadsheet executes; ending, how a contact is
                                  ended; touched, what a person changed of one; stems of subjects
    autotask/                     Autotask's protocol and callouts (no I/O), client, calls,
                                  sending, models, errors
    graph/                        Microsoft Graph's client, models, errors
    embedded  embedded_files      a PostgreSQL of our own, for trials

An arrow points down: a module imports from its own row or from rows below.
"""

__version__ = "0.1.0"
