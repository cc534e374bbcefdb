"""Names that no other test has."""

import uuid


def fresh(prefix: str) -> str:
    """A name of a database, topic or the like, used by nobody before."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
