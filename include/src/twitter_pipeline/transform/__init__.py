"""From landed envelopes to rows: decode, check, flatten, and load with the effect of exactly once."""
