"""The page of the pipeline and the runbook: plain files under a strict content policy, which ask the same API."""
