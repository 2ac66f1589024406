"""Export targets: one TOML a target."""
