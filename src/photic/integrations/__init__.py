"""Other people's training loops and loggers, one file each."""
