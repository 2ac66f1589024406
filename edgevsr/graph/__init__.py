"""The one graph type between collapse and every file format."""
