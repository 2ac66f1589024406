"""The page that shows what networks cost, drawn from results that other verbs wrote."""
