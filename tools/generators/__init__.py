"""One module for each kind of generated file, each with a function `outputs()`."""
