"""What of `charts/fingerv7` is generated: the CRD templates, and the README from the comments in its values."""
