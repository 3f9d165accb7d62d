"""Right and wrong answers to the exercises of the notebooks, one module a notebook."""
