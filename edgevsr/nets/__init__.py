"""Networks as they train: overparameterized, and collapsible to what a device runs."""
