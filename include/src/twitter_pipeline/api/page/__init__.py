"""The status page and the runbook: plain files with a strict content security policy, using the same API."""
