"""How all tests run: garbage is looked for rarely, since simulated worlds keep what they make."""

import gc

gc.set_threshold(50_000, 20, 100)
