"""Azure on a laptop: stand-ins for the services around the gate. Never deployed."""
