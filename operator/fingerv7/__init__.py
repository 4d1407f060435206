"""Shares a table of radio streams among a fleet of FingerV7 workers on Kubernetes."""
