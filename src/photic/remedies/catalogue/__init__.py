"""One remedy per file, named after the change."""
