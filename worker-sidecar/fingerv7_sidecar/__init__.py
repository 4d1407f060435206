"""Mirrors one FingerWorker's assignment into its worker's config and reports that the worker lives."""
