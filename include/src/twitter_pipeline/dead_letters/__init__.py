"""Dead letters of all stages: listed, shown, re-driven, and settled."""
