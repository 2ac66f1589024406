"""Images and videos as streams: decoded, super-resolved, encoded."""
