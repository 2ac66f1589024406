"""Training: one loop for every network, resumable to the bit."""
