"""Pictures, clips, colour and degradation."""
