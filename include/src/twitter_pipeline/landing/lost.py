"""What landing and transform raise about the raw store; apart, so that a Dag file need not import a database driver."""


class RawStoreLost(RuntimeError):
    """The raw store is not the one that was filled, or has lost what landing wrote; a person must look."""
