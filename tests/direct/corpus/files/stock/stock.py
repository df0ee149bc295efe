import json
from dataclasses import dataclass, field


@dataclass
class Item:
    name: str
    count: int = 0

    def label(self) -> str:
        return f"{self.name} ({self.count})"


@dataclass
class Stock:
    """All items of a warehouse."""

    items: dict[str, Item] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def add(self, name: str, count: int = 1) -> None:
        """Add pieces of an item."""
        item = self.items.setdefault(name, Item(name))
        item.count += count
        self.log.append(f"add {name}")

    # Taking more than there is must fail.
    def take(self, name: str, count: int = 1) -> None:
        """Take pieces of an item."""
        item = self.items[name]
        item.count -= count
        self.log.append(f"take {name}")

    @property
    def total(self) -> int:
        return len(self.items)

    def label(self) -> str:
        return ", ".join(item.label() for item in self.items.values())

    def dump(self) -> str:
        return json.dumps({name: item.count for name, item in self.items.items()})


def load(text: str) -> Stock:
    """Read a stock from JSON."""
    stock = Stock()
    for name, count in json.loads(text).items():
        stock.add(name, count)
    return stock
