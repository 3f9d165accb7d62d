"""The playground: the sandbox as a page that a static server serves, with Python in the page.

::

    kvraft playground DIR
      │
    build      copies the page, packs kvraft, and takes Pyodide from npm    serve    for 127.0.0.1
      │
      ▼        in the browser, from here on
    page/      page.mjs ◄──── messages ────► python.mjs, a worker, in which Pyodide runs
                  │                              │
               sandbox.js                      host      what the worker asks
               of kvraft.viz.sandbox             ├── link        a run in the address of the page
                                                 └── Session     of kvraft.viz.sandbox

Invariants:

- The page asks nothing of any other server: its content security policy forbids it, and the worker
  is made such that it inherits that policy.
- What the page shows, Python rendered; the page only passes on what was clicked.
- ``host`` and ``link`` need no more than a browser's Python has.

The door imports nothing, because ``host`` is loaded in the browser and ``build`` is not.
"""
