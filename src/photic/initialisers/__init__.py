"""Fill a weight; one function per scheme."""
