"""The one error of this room."""


class DeploymentError(Exception):
    """What was asked cannot be done; the message says what happened, to what, and what to do."""
