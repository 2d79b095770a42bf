"""Compose probes, theory and diagnosis; the copied set-up and its plain training loop."""
