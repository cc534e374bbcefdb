"""What landing and transforming share: positions in the log, fencing, and lingering."""
