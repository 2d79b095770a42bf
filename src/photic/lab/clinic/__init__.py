"""The clinic: sick networks with known causes, and each with its cause put right; `verified.json` keeps what each did with three seeds."""
