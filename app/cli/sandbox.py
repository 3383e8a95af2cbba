"""`sandbox`: the doubles of Autotask and Graph alone, and what to do with them."""

from __future__ import annotations

import contextlib
import secrets
import threading

from app.cli.demo import console
from sandbox.seed import seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

_SANDBOX_IS_UP = """\
Doubles of Autotask and Microsoft Graph are up, as a small MSP would have them. Put this into .env,
then `make serve`:

AUTOTASK_API_URL={api_url}
AUTOTASK_USERNAME={tenant.username}
AUTOTASK_SECRET={tenant.secret}
AUTOTASK_INTEGRATION_CODE={tenant.integration_code}
OWN_ADDRESSES=help@northwind-msp.example
GRAPH_TENANT_ID={tenant.mail.tenant_id}
GRAPH_CLIENT_ID={tenant.mail.client_id}
GRAPH_CLIENT_SECRET={tenant.mail.client_secret}
GRAPH_MAILBOX=help@northwind-msp.example
GRAPH_URL={server.graph_url}
GRAPH_LOGIN_URL={server.login_url}
WEBHOOK_SECRETS={secret}
PUBLIC_URL=http://127.0.0.1:8000
API_KEYS=me:write:{key}
DATA_DIR=/var/tmp/autotask-cc-trial

Then, in another terminal, let the double post callouts to the service, and make a ticket:

.venv/bin/autotask-cc webhook install
curl -H 'Content-Type: application/json' {url}/sandbox/tickets \
-d '{{"company_id": 174, "cc": "Nina <nina@radiology.example>"}}'

Or let a mail come in, of which Autotask drops the Cc list; it is read in the mailbox:

curl -H 'Content-Type: application/json' {url}/sandbox/mails -d '{{"company_id": 174, \
"sender": "ana.ruiz@alpine-dental.example", "subject": "No picture", \
"cc": ["Nina <nina@radiology.example>"]}}'

What became of it (the answers above name the ticket's id):

curl -H 'Authorization: Bearer {key}' http://127.0.0.1:8000/admin/tickets/<id>

Ctrl-C ends it.
"""


def run_sandbox(port: int) -> None:
    """Run the double alone until Ctrl-C."""
    tenant = Tenant()
    seed(tenant)
    with SandboxServer(tenant, port) as server, contextlib.suppress(KeyboardInterrupt):
        secret, key = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        console.print(
            _SANDBOX_IS_UP.format(
                api_url=server.api_url,
                url=server.url,
                server=server,
                tenant=tenant,
                secret=secret,
                key=key,
            ),
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        threading.Event().wait()
