"""Run the migrations, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text

from app.db.database import Base

_LOCK = 4_706_282_312  # any number: it only has to be the same everywhere


def run() -> None:
    """Migrate under an advisory lock, in one transaction."""
    engine = create_engine(context.config.attributes["url"], hide_parameters=True)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            connection.execute(text("SET LOCAL lock_timeout = '30s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            context.run_migrations()
    engine.dispose()


run()
