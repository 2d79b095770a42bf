"""The clinic: sick networks with known causes, and each with its cause put right. Drafted; not yet verified over seeds."""
