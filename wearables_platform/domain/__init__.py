"""What the words of the platform mean: identity, channels, time, reasons. Pure; imports nothing of ours."""
