"""The error that this package raises."""


class DeploymentError(Exception):
    """A deployment step cannot be done; the message says what happened, to what, and what to do."""
