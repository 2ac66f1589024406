"""One module a verb: it opens sources, calls the room, writes files and returns a result."""
