"""The browser demo: page/ is what npm builds of it, served by `edgevsr demo`."""
