"""What an import says about something that it does not accept."""


class Unimportable(ValueError):
    """A file, a record or one object of it that cannot be imported; `reason` is a stable code, the text says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
