"""The JSON of the API, in and out. What one route alone shows stands beside that route."""
