"""What the shop sells, a function of the seed: so the catalogue, the load and the history need not agree otherwise."""

import random
from dataclasses import dataclass

PRODUCTS = 240
MATERIALS = ("oak", "brass", "linen", "copper", "walnut", "ceramic", "wool", "glass", "leather", "bamboo")
THINGS = {
    "kitchen": (("kettle", 3900), ("pan", 5400), ("teapot", 4200), ("bowl", 1500), ("knife", 6900)),
    "desk": (("lamp", 7900), ("notebook", 1200), ("pen", 2400), ("tray", 3100), ("clock", 8900)),
    "home": (("blanket", 6500), ("vase", 3400), ("mirror", 9900), ("stool", 11900), ("basket", 2700)),
    "garden": (("trowel", 1900), ("lantern", 4500), ("planter", 3300), ("bench", 24900), ("sundial", 13900)),
}
DISCOUNT_RATIO = 0.1  # the autumn sale, off every order


@dataclass(frozen=True, slots=True)
class Product:
    """One product; the price is in cents."""

    id: str
    name: str
    category: str
    cents: int


def goods(seed: int) -> list[Product]:
    """All products, the popular ones first."""
    rng = random.Random(f"goods {seed}")
    kinds = [(category, thing, cents) for category, things in THINGS.items() for thing, cents in things]
    found = []
    for number in range(PRODUCTS):
        category, thing, cents = rng.choice(kinds)
        # Prices end in 90 or 00, as prices do.
        price = round(cents * rng.uniform(0.6, 1.7) / 100) * 100 - rng.choice((0, 10))
        found.append(Product(f"p-{number + 1:03}", f"{rng.choice(MATERIALS)} {thing}", category, price))
    return found


def words(seed: int) -> list[str]:
    """What visitors search for; each finds something."""
    return sorted({word for product in goods(seed) for word in (*product.name.split(), product.category)})
