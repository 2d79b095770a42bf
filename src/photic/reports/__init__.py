"""A record as text, page, figure or JSON; computes nothing."""
