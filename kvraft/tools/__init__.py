"""Tools that look into the files of a member, a store or a tree, mend them, and move data.

Each works on a directory that nobody has open, and says in one sentence what is wrong with it.
"""
