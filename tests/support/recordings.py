"""Where answers recorded from X and X's OpenAPI documents are: beside this repository, not in it."""

import os
from pathlib import Path

import pytest

# X's terms forbid to publish them with this repository
BESIDE = Path(__file__).parents[3] / "shared"
RECORDINGS = Path(os.environ.get("X_RECORDINGS_FOLDER", BESIDE / "recordings"))
OPENAPI = Path(os.environ.get("X_OPENAPI_FOLDER", BESIDE / "openapi"))
WITHOUT_RECORDINGS = (
    "answers recorded from X may not be published and are not in this repository: copy sns-sdks/python-twitter "
    "(testdata), tweepy/tweepy (cassettes) or recordings of your own, as JSON, into a folder of that name each, and set "
    "X_RECORDINGS_FOLDER to where these folders are"
)
WITHOUT_OPENAPI = (
    "X's OpenAPI documents are not in this repository: save https://api.x.com/2/openapi.json under the names in "
    "tests/agreement/test_simulator_openapi.py and set X_OPENAPI_FOLDER to their folder"
)


def existing(folder: Path, otherwise: str) -> Path:
    """The folder; a test that asks for one that is not there is skipped and says `otherwise`."""
    if not folder.is_dir():
        pytest.skip(otherwise)
    return folder
