"""Looking at a cluster from outside: invariants that must hold after every step."""
