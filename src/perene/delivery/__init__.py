"""What Perene sends out by itself, to whom its user named."""
