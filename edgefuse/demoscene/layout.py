"""Chooses the content of the demo scene from a seed: building, plants, cars, pedestrians and their routes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgefuse.demoscene.building import Building
from edgefuse.demoscene.car import Car
from edgefuse.demoscene.figures import Dog, Person, Route
from edgefuse.demoscene.optics import BGR, LOOP_S, YAW, PinholeCamera
from edgefuse.demoscene.plants import Plant

_JACKETS: tuple[BGR, ...] = (
    (40, 170, 232),
    (196, 116, 42),
    (58, 54, 190),
    (86, 132, 60),
    (168, 168, 172),
    (120, 62, 110),
    (52, 118, 214),
)
_TROUSERS: tuple[BGR, ...] = ((98, 66, 44), (52, 48, 48), (86, 104, 124), (120, 96, 74), (40, 40, 44))
_SKINS: tuple[BGR, ...] = ((150, 178, 226), (120, 150, 204), (74, 104, 158), (48, 68, 108))
_HAIRS: tuple[BGR, ...] = ((26, 30, 38), (40, 62, 92), (70, 128, 176), (24, 24, 26), (118, 122, 128))
_PAINTS: tuple[BGR, ...] = ((36, 30, 186), (176, 98, 36), (208, 210, 212), (60, 122, 58), (34, 160, 224), (74, 70, 68))
_COATS: tuple[BGR, ...] = ((70, 118, 166), (52, 56, 62), (160, 182, 200), (46, 66, 96))
_CAMOUFLAGE: BGR = (74, 96, 94)  # clothing close to the shadow's grey and green, for a person who is hard to see in the visible


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that a seed decides.

    lamp: position of the street lamp's bulb in metres. manhole: its x and z. dapples: spheres (x, y, z, radius) of a tree behind the
    camera that only casts its shade.
    """

    building: Building
    plants: list[Plant]
    cars: list[Car]
    parked: Car
    walkers: list[Person | Dog]
    lamp: tuple[float, float, float]
    manhole: tuple[float, float]
    dapples: list[tuple[float, float, float, float]]

    @classmethod
    def drawn(cls, seed: int, camera: PinholeCamera) -> Layout:
        """Return the layout of a seed."""
        rng = np.random.default_rng([seed, 1])
        lamp = (-5.4 + float(rng.uniform(-0.5, 0.5)), 5.7, 16.2)
        building = Building.drawn(rng, seed, lamp)
        paint = [_PAINTS[(seed + i) % len(_PAINTS)] for i in (0, 1, 2)]
        parked = Car(-9.3 + float(rng.uniform(-0.8, 1.2)), 16.3, -1, paint[1])
        cars = [
            Car(-3.0, 14.1, -1, paint[0], 2, 0.24 + float(rng.uniform(-0.03, 0.03))),
            Car(-3.0, 11.6, 1, paint[2], 2, 0.70 + float(rng.uniform(-0.03, 0.03))),
        ]
        dapples = [(float(x), 4.0, float(z), float(r)) for x, z, r in rng.uniform((-14, 3.5, 0.2), (-8, 8.2, 0.6), (34, 3))]
        plants = _plants(rng, building)
        manhole = (-1.2 + float(rng.uniform(-1, 1)), 11.9)
        return cls(building, plants, cars, parked, _walkers(rng, camera), lamp, manhole, dapples)


def _plants(rng: np.random.Generator, building: Building) -> list[Plant]:
    """Return two trees beside the building, bushes before the alley, one bush near the camera, and more trees for wide pictures."""

    def jitter(x: float, by: float = 0.3) -> float:
        return x + float(rng.uniform(-by, by))

    green: BGR = (48, 122, 84)
    olive: BGR = (52, 128, 106)
    deep: BGR = (52, 106, 66)
    return [
        Plant(jitter(12.5), 25.5, jitter(7.0), 2.6, 2.0, 0.17, deep),
        Plant(jitter(6.7), 23.6, jitter(6.6), 2.4, 1.9, 0.16, green),
        Plant(building.left - jitter(2.5), 22.5, jitter(7.6), 2.7, 2.2, 0.17, olive),
        Plant(building.left - jitter(8.5), 25.0, jitter(7.0), 2.6, 2.0, 0.17, green),
        Plant(jitter(1.5, 0.2), 21.6, jitter(1.25, 0.1), 1.0, 0.0, 0.10, deep, 0.25),
        Plant(jitter(3.2, 0.2), 21.8, jitter(1.55, 0.1), 1.15, 0.0, 0.10, green, 0.1),
        Plant(jitter(5.0, 0.2), 21.4, jitter(1.2, 0.1), 1.05, 0.0, 0.10, olive),
        Plant(jitter(3.2, 0.15), 9.35, 1.05, 0.85, 0.0, 0.06, green),
    ]


def _crossing(camera: PinholeCamera, z: float, forward: int, start: float) -> Route:
    """Return a straight route along x at z that begins and ends outside the picture, at walking pace."""
    half = (camera.width / 2) / camera.focal
    ends = [z * (np.sin(YAW) + r * np.cos(YAW)) / max(np.cos(YAW) - r * np.sin(YAW), 0.15) for r in (-half, half)]
    reach = float(ends[1] - ends[0]) + 3.0
    laps = max(round(LOOP_S * 1.35 / reach), 1)
    return Route(float(ends[0] + ends[1]) / 2, z, max(reach, LOOP_S * 1.15 / laps), 0.0, forward, start, laps)


def _walkers(rng: np.random.Generator, camera: PinholeCamera) -> list[Person | Dog]:
    """Return two near and two far pedestrians, a dog, and a person who walks back and forth in the shadow behind the bushes."""
    jackets, trousers = rng.permutation(len(_JACKETS)), rng.permutation(len(_TROUSERS))
    skins, hairs = rng.integers(0, len(_SKINS), 5), rng.integers(0, len(_HAIRS), 5)
    people: list[Person | Dog] = []
    ways = [(8.95, 1, 0.30), (9.75, -1, 0.78), (18.25, -1, 0.36), (19.1, 1, 0.62)]
    for i, (z, forward, start) in enumerate(ways):
        route = _crossing(camera, z, forward, (start + float(rng.uniform(-0.06, 0.06))) % 1.0)
        bag = _PAINTS[int(rng.integers(0, len(_PAINTS)))] if i in (0, 3) else None
        looks = (_JACKETS[jackets[i]], _TROUSERS[trousers[i]], _SKINS[skins[i]], _HAIRS[hairs[i]])
        people.append(Person(route, float(rng.uniform(0.93, 1.05)), *looks, coat=i == 1 or bool(rng.random() < 0.25), bag=bag))
        if i == 2:
            ahead = Route(route.x + forward * 1.35, z - 0.35, route.reach, 0.0, forward, route.start, route.laps)
            people.append(Dog(ahead, _COATS[int(rng.integers(0, len(_COATS)))]))
    shy = Route(1.9 + float(rng.uniform(-0.3, 0.3)), 23.7, 6.6, 0.65, 1, float(rng.uniform(0, 1)))
    people.append(Person(shy, 1.0, _CAMOUFLAGE, (68, 84, 84), _CAMOUFLAGE, _CAMOUFLAGE))
    return people
