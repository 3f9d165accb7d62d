"""The faults in a run of the swarm: everything the environment does to members and their messages.

Each kind has a name, under which it is switched on, and happens as often, as long and as hard as
the seed has it::

    kinds          all of them by name
    ├─ members     they crash, stand still, run out of patience
    ├─ disks       they fail, fill up, rot, are lost or come back old
    ├─ network     partitions, links in one direction, messages lost, late, twice, out of order
    └─ cluster     members join, vote and leave; leaders hand over; clocks go wrong
          │
        plan       when: what is due, what is over, and the repair of everything

Invariants:

- What a fault breaks is repaired some time later, and everything is at the end of a run.
- Nothing is asked of the cluster that cannot be: a majority of disks stays whole, and where leases
  trust clocks no timer is early, and no process stands still without knowing it.
"""

from kvraft.check.sweep.faults.kinds import KINDS, fault_names
from kvraft.check.sweep.faults.plan import Faults

__all__ = ["KINDS", "Faults", "fault_names"]
