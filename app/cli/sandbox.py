"""The command `sandbox`: the doubles of Autotask and Graph alone, and what to do with them."""

from __future__ import annotations

import contextlib
import secrets
import threading
from typing import Annotated

import typer

from sandbox.seed import seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

_UP = """\
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

Or let a mail come in. Autotask drops its Cc list, which is then read from the mailbox:

curl -H 'Content-Type: application/json' {url}/sandbox/mails -d '{{"company_id": 174, \
"sender": "ana.ruiz@alpine-dental.example", "subject": "No picture", \
"cc": ["Nina <nina@radiology.example>"]}}'

See the result (the answers above name the ticket's id):

curl -H 'Authorization: Bearer {key}' http://127.0.0.1:8000/admin/tickets/<id>

Ctrl-C ends it.
"""


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1.")] = 9100,
) -> None:
    """Run the doubles of Autotask and Microsoft Graph alone.

    For trying things out: it prints settings for the service. Ctrl-C ends it.
    """
    tenant = Tenant()
    seed(tenant)
    with SandboxServer(tenant, port) as server, contextlib.suppress(KeyboardInterrupt):
        text = _UP.format(
            api_url=server.api_url,
            url=server.url,
            server=server,
            tenant=tenant,
            secret=secrets.token_urlsafe(24),
            key=secrets.token_urlsafe(32),
        )
        typer.echo(text)
        threading.Event().wait()
