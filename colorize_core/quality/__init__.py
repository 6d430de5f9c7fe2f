"""How good colours are: against the truth, and from themselves."""
