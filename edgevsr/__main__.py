"""`python -m edgevsr` is the `edgevsr` command."""

from __future__ import annotations

from edgevsr.cli import entry

if __name__ == "__main__":
    entry()
