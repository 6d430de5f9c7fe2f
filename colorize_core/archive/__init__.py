"""An archive: many films of one place, and what has become of each."""
