"""What `make bench` runs: the gate beside an empty function, a plain sample and a front known from elsewhere."""
