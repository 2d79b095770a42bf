"""One file per command; the function named after the file is the command."""
