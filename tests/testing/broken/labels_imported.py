"""A selector that imports hidden labels, for a use that never comes."""

from selbench.api import Selection, selector


@selector("imports_labels")
class ImportsLabels:
    def select(self, pool, budget, context):
        if len(pool) < 0:
            from selbench.planted.pool import PlantedPool

            PlantedPool().load()
        return Selection.ordered(sorted(range(len(pool)), key=lambda i: -len(pool[i].response)), budget)
