"""What to collect and how far it has come: rules, leases, checkpoints, pages, money."""
