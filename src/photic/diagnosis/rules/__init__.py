"""One rule per file; the file is named after the problem."""
