"""Measures a file on phones through the real adb client."""
