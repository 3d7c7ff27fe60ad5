"""What is asked of a store: in groups, with patience, and with an end to what is kept."""
