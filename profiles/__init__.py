"""Device profiles: one TOML a device."""
