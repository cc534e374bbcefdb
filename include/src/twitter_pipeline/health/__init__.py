"""The state of the pipeline: what the stores say, whether every offset is accounted for, and publishing both."""
