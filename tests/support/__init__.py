"""What tests of several rooms stand on, a module a subject.

A test file imports it as `support.<subject>`, and nothing else of the tests but the conftest beside it. Programs that
tests start are run as `python -m support.<name>` in the folder `TESTS`.
"""

from pathlib import Path

TESTS = Path(__file__).parents[1]
