"""`python -m perene` is `perene`."""

from perene.cli import main

main()
