"""The faults in a run of the swarm: everything the environment does to members and their messages.

Each kind has a name, under which it is switched on, and happens as often, as long and as hard as
the seed has it::

    kinds          all of them by name
    ├─ members     they crash, one after another or again and again, stand still, lose patience
    ├─ disks       they fail, fill up, rot, lie, are lost or come back old
    ├─ network     partitions, links in one direction, messages lost, late, twice, out of order
    ├─ leaders     they are deposed amid writes, overtaken, or changed while one member is away
    └─ cluster     members join, vote and leave; leaders hand over, or are outlived; clocks go wrong
          │
        plan       when: what is due, what is over, and the repair of everything;
                   which faults come soon after each other, for each makes the other worse

A fault looks at ``faults.world``, and acts through verbs and nothing else::

    faults.do("cut", one, other)        a verb of kvraft.sim.VERBS, with its arguments; False if it
                                        cannot be done now, such as a crash of a member that is down
    faults.do("cut_power", name, 3, faults.seed())
                                        what chance decides within a verb follows from a seed
    faults.plan(100, 600, partial(faults.do, "repair", one, other))
                                        later, in milliseconds: its end, or its next blow
    faults.judged.do("transfer", to)    raises what refuses it, and returns what comes of it

So all that the swarm does is in the run file of a finding, and is replayed without the swarm.  What
no verb does yet becomes one in kvraft/sim/runs: a method of the world or of its environment, an
event that it leaves in the trace, and a row in a table, with ``offered=False`` if the sandbox is to
have no button for it.  Before each verb the world finishes its microsecond, so what was true when a
fault looked may have changed by its second verb: that is what the ``False`` is for.

Invariants:

- What a fault breaks is repaired some time later, and everything is at the end of a run.
- Nothing is asked of the cluster that cannot be: a majority of disks stays whole, and where leases
  trust clocks no timer is early, and no process stands still without knowing it.
"""

from kvraft.check.sweep.faults.kinds import KINDS, fault_names
from kvraft.check.sweep.faults.plan import Faults

__all__ = ["KINDS", "Faults", "fault_names"]
