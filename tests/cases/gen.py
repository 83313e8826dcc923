"""What the cases are made of: short messages, the same ones every time."""

import random

_THINGS = {
    "parcel": ("parcel package shipment courier box", "never arrived;is late;came damaged"),
    "bill": ("invoice bill charge refund receipt", "is too high;was taken twice;is missing"),
    "login": ("password account username profile", "does not work;is locked;has expired"),
}


def rows(n, seed=1):
    """(text, label) of n messages."""
    rng = random.Random(seed)
    made = []
    for number in range(n):
        label = list(_THINGS)[number % len(_THINGS)]
        things, troubles = _THINGS[label]
        told = (f"the {rng.choice(things.split())} {rng.choice(troubles.split(';'))}" for _ in "ab")
        made.append((f"{'. Also '.join(told)}. No. {number}", label))
    rng.shuffle(made)
    return made
