"""How near results come to films whose true colours are known."""
