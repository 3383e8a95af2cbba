"""The ledger: one row per contact that we created or are creating. Only these modules write it.

| state | what it means | moved there by | from |
| --- | --- | --- | --- |
| sending | a create request may be on its way | creating.claim | a new row |
| | | creating._take_over | sending, unsure |
| unsure | the request may have taken effect, or may still | creating.unsure | sending |
| created | the contact exists | creating.created | sending, unsure |
| | | creating._recognise | sending, unsure, refused |
| | | restoring.restored | restoring |
| | | restoring.saw_restored | restoring |
| | | ending.leave_to_person | created, retiring, restoring |
| | | ending.cancel_retirement | created, retiring, restoring |
| refused | definitely not created | creating.refused | sending, unsure |
| | | creating._recognise | sending, unsure |
| | | creating.never_created | sending, unsure |
| gone | deleted, or another contact has its address | creating._take_over | created |
| | | ending.gone | created, retiring, restoring |
| | | ending.leave_to_person | created, retiring, restoring |
| | | ending.cancel_retirement | created, retiring, restoring |
| | | restoring.saw_deleted | retired, restoring |
| retiring | its ending has begun | ending.intend | created, retiring, restoring |
| retired | it is inactive and has no address | ending.retired | created, retiring, restoring |
| restoring | it is being brought back | restoring.claim | retired, restoring |
| | | restoring.claim_by_hand | retired, retiring, restoring |
"""
