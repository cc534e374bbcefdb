"""Texts of others (X, servers, exceptions) as PostgreSQL can keep them."""

LONGEST_ERROR = 2000


def storable(text: str, longest: int) -> str:
    """The text without NUL and halves of pairs, cut to `longest` characters with an ellipsis."""
    plain = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
