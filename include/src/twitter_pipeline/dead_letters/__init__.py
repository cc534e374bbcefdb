"""Dead letters of all stages: list, show, re-drive and settle them."""
