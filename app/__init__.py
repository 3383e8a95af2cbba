"""autotask-cc: puts the people in a mail's Cc on its Autotask ticket.

A callout comes in (webhooks), is stored and makes its ticket due (inbox, work). A worker claims
due tickets (worker) and looks at each (look): it reads the ticket afresh, finds the Cc list
(sources, addresses), decides about each address (decide) and acts (ledger, participants),
speaking to Autotask (autotask/) within the tenant's limits (budget). admin and health explain.
"""
