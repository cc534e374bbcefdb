"""The texts of X as people read them.

X sends `&`, `<` and `>` of a tweet's text as HTML entities, and nothing else: what looks like another entity was
typed by the author and stays.
"""

import re

_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ESCAPED = re.compile("|".join(_ENTITIES))


def unescaped(text: str) -> str:
    """The text without X's HTML entities, undone once: `&amp;lt;` is the author's `&lt;`."""
    return _ESCAPED.sub(lambda found: _ENTITIES[found.group()], text)
