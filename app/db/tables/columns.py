"""Column types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Identity, Text, func
from sqlalchemy.orm import mapped_column

Id = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Big = Annotated[int, mapped_column(BigInteger)]
Str = Annotated[str, mapped_column(Text)]
At = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Count = Annotated[int, mapped_column(BigInteger, server_default="0")]
