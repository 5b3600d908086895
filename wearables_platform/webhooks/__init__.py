"""Events sent to receivers by HTTP: signed, at least once, one receiver never in another's way."""
