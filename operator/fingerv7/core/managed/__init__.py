"""Managed workers: which there should be, whose turn it is, and what a pod looks like (decision 7)."""
