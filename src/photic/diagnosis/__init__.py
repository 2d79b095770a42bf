"""Evidence to finding; one rule per file."""
