"""A simulated world whose truth is known: what was planted is said by the simulation, never found by the platform."""
