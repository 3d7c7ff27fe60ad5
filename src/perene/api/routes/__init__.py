"""One module for each noun of the API; a route checks, asks a port, and shows the answer."""
