"""What tests of several rooms stand on, a module a subject.

A test file imports it as `support.<subject>`, and nothing else of the tests but the conftest beside it. Programs that
tests start are run as `python -m support.<name>` in the folder `TESTS`.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# or an assertion of ours that fails would not show its values
pytest.register_assert_rewrite(
    *(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[!_]*.py"))
)
