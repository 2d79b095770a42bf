"""The server over saved runs."""
