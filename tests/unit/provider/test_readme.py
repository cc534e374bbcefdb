"""The examples of the provider's README run."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "providers" / "twitter" / "README.md"


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL))
def test_an_example_runs(example: str) -> None:
    """Each Python example can be pasted as it is."""
    exec(compile(example, str(README), "exec"), {"__name__": "pasted"})  # noqa: S102 - our own page
