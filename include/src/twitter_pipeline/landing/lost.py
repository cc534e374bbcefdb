"""What landing and transform raise about the raw store; apart, so that Dag files need no database driver."""


class RawStoreLost(RuntimeError):
    """The raw store is not the one that landing filled, or has lost what landing wrote; a person must look."""
