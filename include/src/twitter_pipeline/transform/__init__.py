"""From landed envelopes to rows: decode, check, flatten, and load exactly once in effect."""
