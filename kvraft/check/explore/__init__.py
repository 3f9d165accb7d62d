"""Every future of a small cluster, within bounds, with the real consensus module.

::

    explorer      explore(): breadth first, the shortest way to what breaks
    └─ state_space    states of a cluster as numbers, and what follows each
       ├─ history     what to remember of a run, and what must hold among members
       └─ transitions     one member takes one input
          └─ clone        copies of a member, and its fingerprint

Invariants:

- A member's next state depends on its own state and the input alone, so each pair is worked out
  once.
- Equal fingerprints have equal futures, as long as no tick passes and no member reads.
- A kind of attribute that ``clone`` does not know is refused, never shared or skipped.

Sources: Holzmann, *The Model Checker SPIN*, 1997; Ip and Dill, *Better Verification Through
Symmetry*, 1996; Abadi and Lamport, *The Existence of Refinement Mappings*, 1991 (history).
"""

from kvraft.check.explore.explorer import NO_TIME, ExplorationReport, explore
from kvraft.check.explore.state_space import ExplorationBounds

__all__ = ["NO_TIME", "ExplorationBounds", "ExplorationReport", "explore"]
