"""Draws the captioned pictures that the bundled demo base is pretrained on: things and shapes, colours, places, positions.

The places, colours and the manner of speaking are those of the demo data set (``draw_demo_images.py``), so that a LoRA need
only learn its subject. That subject, the robot, is in none of the pictures: neither drawn nor named. A picture follows from
its number alone. ``clutter`` is for the VAE, which must be able to show more than the base can name. Needs Pillow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from scripts.draw_demo_images import COLOURS, INK, PLACES, WHITE, Canvas, Colour, Point, mixed

FINENESS: Final = 2
"""Half the care of the shipped pictures: these are many, and are seen smaller than they are drawn."""
SIZES: Final = ((160, 160), (144, 192), (192, 144))
"""Pixels, (width, height): the demo data set's."""
PAINTS: Final[dict[str, Colour]] = {
    **COLOURS,
    "white": (246, 246, 246),
    "black": (30, 30, 34),
    "grey": (136, 138, 146),
    "brown": (134, 90, 56),
}
SKIN: Final = (244, 204, 170)
LEAVES: Final = (70, 150, 84)
TRUNK: Final = (132, 94, 62)
GLASS: Final = (196, 230, 246)
SPOTS: Final = (
    ("", (0, 0)),
    ("", (0, 0)),
    (", on the left", (-1, 0)),
    (", on the right", (1, 0)),
    (", at the top", (0, -1)),
    (", at the bottom", (0, 1)),
)
"""Where a shape can be on a plain ground: what the caption says, and how far from the middle."""
POSES: Final = ("standing", "waving", "cheering", "jumping")

At = Callable[[float, float], Point]
"""From units (right of the middle, up from the ground) to pixels. A thing is up to 1.5 units tall, 1.2 wide."""


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows, in words."""

    image: Image.Image
    caption: str


@dataclass(frozen=True)
class Pen:
    """Draws in units of a thing's own size."""

    canvas: Canvas
    at: At
    unit: float
    line: float
    """Width of outlines, pixels; 0 for none."""

    def ellipse(self, right: float, up: float, rx: float, ry: float, fill: Colour, *, outlined: bool = True) -> None:
        """A filled ellipse around a point."""
        line = self.line if outlined else 0.0
        self.canvas.ellipse(self.at(right, up), rx * self.unit, ry * self.unit, fill, line)

    def box(self, left: float, low: float, right: float, high: float, fill: Colour, *, corner: float = 0.0) -> None:
        """A filled rectangle."""
        (x0, y0), (x1, y1) = self.at(left, high), self.at(right, low)
        self.canvas.box(x0, y0, x1, y1, fill, corner=corner * self.unit, outline=self.line)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        """A filled polygon with its outline."""
        corners = [self.at(*point) for point in points]
        self.canvas.polygon(corners, fill)
        if self.line:
            self.canvas.stroke([*corners, corners[0]], self.line, INK)

    def stroke(self, points: list[Point], width: float, fill: Colour) -> None:
        """A thick line."""
        self.canvas.stroke([self.at(*point) for point in points], width * self.unit, fill)


def corners(count: int, radius: float, *, inner: float = 1.0, turn: float = 90.0) -> list[Point]:
    """A regular polygon around (0, 0.7), or a star if every other corner lies ``inner`` times as far out."""
    total = count if inner == 1.0 else 2 * count
    points = []
    for number in range(total):
        angle = math.radians(turn + 360 * number / total)
        far = radius * (inner if number % 2 else 1.0)
        points.append((far * math.cos(angle), 0.7 + far * math.sin(angle)))
    return points


def circle(pen: Pen, colour: Colour) -> None:
    pen.ellipse(0, 0.7, 0.55, 0.55, colour)


def square(pen: Pen, colour: Colour) -> None:
    pen.box(-0.5, 0.2, 0.5, 1.2, colour)


def triangle(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.62, 0.2), (0.62, 0.2), (0, 1.28)], colour)


def star(pen: Pen, colour: Colour) -> None:
    pen.polygon(corners(5, 0.68, inner=0.45), colour)


def diamond(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.48, 0.7), (0, 0.02), (0.48, 0.7), (0, 1.38)], colour)


def cross(pen: Pen, colour: Colour) -> None:
    a, b = 0.2, 0.58
    outline = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    pen.polygon([(x, y + 0.7) for x, y in outline], colour)


def ring(pen: Pen, colour: Colour) -> None:
    pen.canvas.arc(pen.at(0, 0.7), 0.58 * pen.unit, (0, 360), 0.24 * pen.unit, colour)


def heart(pen: Pen, colour: Colour) -> None:
    points = []
    for step in range(40):
        t = 2 * math.pi * step / 40
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x * 0.037, 0.74 + y * 0.037))
    pen.polygon(points, colour)


def ball(pen: Pen, colour: Colour) -> None:
    pen.ellipse(0, 0.45, 0.45, 0.45, colour)
    pen.ellipse(-0.16, 0.62, 0.12, 0.09, mixed(colour, WHITE, 0.6), outlined=False)


def crate(pen: Pen, colour: Colour) -> None:
    pen.box(-0.48, 0, 0.48, 0.92, colour)
    dark = mixed(colour, INK, 0.4)
    pen.stroke([(-0.4, 0.08), (0.4, 0.84)], 0.07, dark)
    pen.stroke([(-0.4, 0.84), (0.4, 0.08)], 0.07, dark)


def house(pen: Pen, colour: Colour) -> None:
    pen.box(-0.5, 0, 0.5, 0.75, (240, 228, 206))
    pen.polygon([(-0.62, 0.75), (0.62, 0.75), (0, 1.35)], colour)
    pen.box(-0.12, 0, 0.12, 0.42, TRUNK)
    pen.box(0.22, 0.32, 0.42, 0.55, GLASS)
    pen.box(-0.42, 0.32, -0.22, 0.55, GLASS)


def tree(pen: Pen, colour: Colour) -> None:
    pen.box(-0.09, 0, 0.09, 0.6, TRUNK)
    for right, up, radius in ((-0.3, 0.75, 0.28), (0.3, 0.75, 0.28), (0, 1.0, 0.4)):
        pen.ellipse(right, up, radius, radius, colour, outlined=False)


def flower(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 0), (0, 0.9)], 0.08, LEAVES)
    pen.ellipse(0.16, 0.35, 0.16, 0.07, LEAVES, outlined=False)
    for turn in range(6):
        angle = math.radians(60 * turn)
        pen.ellipse(0.27 * math.cos(angle), 1.0 + 0.27 * math.sin(angle), 0.18, 0.18, colour)
    pen.ellipse(0, 1.0, 0.15, 0.15, (250, 210, 80))


def balloon(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 0), (0.03, 0.7)], 0.025, INK)
    pen.ellipse(0, 1.05, 0.36, 0.43, colour)
    pen.ellipse(-0.12, 1.2, 0.08, 0.12, mixed(colour, WHITE, 0.6), outlined=False)


def umbrella(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 0), (0, 1.0)], 0.05, INK)
    centre, light = pen.at(0, 0.75), mixed(colour, WHITE, 0.45)
    for number in range(4):
        pen.canvas.pie(centre, 0.62 * pen.unit, 180 + 45 * number, 225 + 45 * number, light if number % 2 else colour)


def mushroom(pen: Pen, colour: Colour) -> None:
    pen.box(-0.16, 0, 0.16, 0.6, (246, 238, 220), corner=0.1)
    pen.canvas.pie(pen.at(0, 0.5), 0.6 * pen.unit, 180, 360, colour)
    for right, up in ((-0.3, 0.68), (0.02, 0.88), (0.3, 0.66)):
        pen.ellipse(right, up, 0.08, 0.08, WHITE, outlined=False)


def car(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.35, 0.5), (-0.24, 0.82), (0.2, 0.82), (0.38, 0.5)], GLASS)
    pen.box(-0.62, 0.16, 0.62, 0.52, colour, corner=0.1)
    for right in (-0.34, 0.34):
        pen.ellipse(right, 0.15, 0.16, 0.16, (40, 40, 46), outlined=False)
        pen.ellipse(right, 0.15, 0.07, 0.07, (200, 200, 206), outlined=False)


def boat(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0, 0.3), (0, 1.35)], 0.05, TRUNK)
    pen.polygon([(0.06, 0.45), (0.06, 1.3), (0.5, 0.45)], (250, 248, 240))
    pen.polygon([(-0.6, 0.36), (0.6, 0.36), (0.4, 0.05), (-0.4, 0.05)], colour)


def fish(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.3, 0.6), (0.62, 0.85), (0.62, 0.35)], mixed(colour, INK, 0.2))
    pen.ellipse(-0.1, 0.6, 0.48, 0.32, colour)
    pen.ellipse(-0.34, 0.68, 0.07, 0.07, WHITE)
    pen.ellipse(-0.36, 0.68, 0.03, 0.03, INK, outlined=False)


def bird(pen: Pen, colour: Colour) -> None:
    for right in (-0.1, 0.1):
        pen.stroke([(right, 0), (right, 0.25)], 0.05, (240, 160, 60))
    pen.ellipse(0, 0.55, 0.38, 0.34, colour)
    pen.ellipse(-0.24, 0.95, 0.24, 0.24, colour)
    pen.polygon([(-0.46, 0.98), (-0.46, 0.88), (-0.62, 0.92)], (250, 180, 60))
    pen.ellipse(-0.3, 1.0, 0.05, 0.05, INK, outlined=False)
    pen.ellipse(0.1, 0.55, 0.2, 0.15, mixed(colour, INK, 0.25), outlined=False)


def cat(pen: Pen, colour: Colour) -> None:
    pen.stroke([(0.3, 0.12), (0.55, 0.3), (0.52, 0.6)], 0.1, colour)
    pen.ellipse(0, 0.35, 0.34, 0.36, colour)
    for side in (-1, 1):
        pen.polygon([(side * 0.1, 1.05), (side * 0.36, 1.0), (side * 0.34, 1.36)], colour)
        pen.ellipse(side * 0.16, 0.06, 0.11, 0.07, mixed(colour, WHITE, 0.4))
    pen.ellipse(0, 0.88, 0.4, 0.33, colour)
    for side in (-1, 1):
        pen.ellipse(side * 0.16, 0.94, 0.06, 0.09, WHITE if sum(colour) < 250 else INK, outlined=False)
    pen.ellipse(0, 0.82, 0.05, 0.035, (240, 130, 150), outlined=False)


def person(pen: Pen, colour: Colour, pose: str = "standing") -> None:
    """A person in a coat of the colour; in a pose."""
    legs, lift = mixed(colour, INK, 0.6), 0.16 if pose == "jumping" else 0.0
    raised = {"standing": (), "waving": (1,), "cheering": (-1, 1), "jumping": (-1, 1)}[pose]
    spread = 0.1 if lift else 0.0
    for side in (-1, 1):
        pen.stroke([(side * 0.11, 0.4 + lift), (side * (0.13 + spread), 0.05 + lift)], 0.13, legs)
        up = side in raised
        hand = (side * 0.56, 1.05 + lift) if up else (side * 0.38, 0.4 + lift)
        pen.stroke([(side * 0.2, 0.78 + lift), (side * (0.42 if up else 0.34), 0.72 + lift), hand], 0.1, colour)
        pen.ellipse(*hand, 0.07, 0.07, SKIN)
    pen.box(-0.25, 0.32 + lift, 0.25, 0.88 + lift, colour, corner=0.12)
    pen.ellipse(0, 1.1 + lift, 0.24, 0.26, SKIN)
    pen.canvas.pie(pen.at(0, 1.16 + lift), 0.25 * pen.unit, 180, 360, TRUNK)
    for side in (-1, 1):
        pen.ellipse(side * 0.09, 1.1 + lift, 0.03, 0.035, INK, outlined=False)


def small_body(pen: Pen, colour: Colour, pose: str) -> float:
    """Limbs and body of a small figure with a big head, in a pose; how far it is off the ground."""
    dark, light = mixed(colour, INK, 0.3), mixed(colour, WHITE, 0.45)
    lift = 0.2 if pose == "jumping" else 0.0
    raised = {"standing": (), "waving": (1,), "cheering": (-1, 1), "jumping": (-1, 1)}[pose]
    spread = 0.1 if lift else 0.0
    for side in (-1, 1):
        pen.stroke([(side * 0.14, 0.32 + lift), (side * (0.16 + spread), 0.06 + lift)], 0.16, dark)
        up = side in raised
        hand = (side * 0.66, 0.84 + lift) if up else (side * 0.46, 0.3 + lift)
        elbow = (side * (0.5 if up else 0.42), (0.5 if up else 0.46) + lift)
        pen.stroke([(side * 0.24, 0.54 + lift), elbow, hand], 0.13, dark)
        pen.ellipse(*hand, 0.09, 0.09, light)
    pen.ellipse(0, 0.42 + lift, 0.31, 0.27, colour)
    return lift


def astronaut(pen: Pen, colour: Colour, pose: str = "standing") -> None:
    """A round helmet with a dark visor."""
    lift = small_body(pen, colour, pose)
    pen.ellipse(0, 0.95 + lift, 0.46, 0.4, colour)
    pen.ellipse(0, 0.93 + lift, 0.34, 0.27, (50, 58, 92))
    pen.ellipse(-0.14, 1.02 + lift, 0.09, 0.06, GLASS, outlined=False)


def alien(pen: Pen, colour: Colour, pose: str = "standing") -> None:
    """A wide head with two eyes and two antennae."""
    lift = small_body(pen, colour, pose)
    for side in (-1, 1):
        pen.stroke([(side * 0.15, 1.2 + lift), (side * 0.26, 1.38 + lift)], 0.05, mixed(colour, INK, 0.3))
        pen.ellipse(side * 0.27, 1.4 + lift, 0.07, 0.07, mixed(colour, WHITE, 0.45))
    pen.ellipse(0, 0.93 + lift, 0.5, 0.33, colour)
    for side in (-1, 1):
        pen.ellipse(side * 0.19, 0.96 + lift, 0.13, 0.15, WHITE)
        pen.ellipse(side * 0.17, 0.94 + lift, 0.06, 0.08, INK, outlined=False)


def bear(pen: Pen, colour: Colour, pose: str = "standing") -> None:
    """Round ears, a light muzzle and a light belly."""
    lift = small_body(pen, colour, pose)
    light = mixed(colour, WHITE, 0.45)
    pen.ellipse(0, 0.4 + lift, 0.18, 0.16, light, outlined=False)
    for side in (-1, 1):
        pen.ellipse(side * 0.32, 1.22 + lift, 0.14, 0.14, colour)
    pen.ellipse(0, 0.93 + lift, 0.43, 0.37, colour)
    pen.ellipse(0, 0.84 + lift, 0.19, 0.14, light, outlined=False)
    for right, up, radius in ((-0.17, 1.02, 0.05), (0.17, 1.02, 0.05), (0.0, 0.89, 0.06)):
        pen.ellipse(right, up + lift, radius, radius, INK, outlined=False)


FIGURES: Final[dict[str, Callable[[Pen, Colour, str], None]]] = {
    function.__name__: function for function in (person, astronaut, alien, bear)
}
SHAPES: Final[dict[str, Callable[[Pen, Colour], None]]] = {
    function.__name__: function for function in (circle, square, triangle, star, diamond, cross, ring, heart)
}
THINGS: Final[dict[str, Callable[[Pen, Colour], None]]] = {
    function.__name__: function
    for function in (ball, crate, house, tree, flower, balloon, umbrella, mushroom, car, boat, fish, bird, cat)
}


def article(noun: str) -> str:
    """``noun`` with "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def picture(number: int, size: tuple[int, int]) -> Picture:
    """Picture ``number``: two times of three a figure, a thing or a shape in a place, else a shape on a plain ground."""
    chance = random.Random(f"{number} {size}")
    canvas = Canvas(size, chance, FINENESS)
    caption = in_a_place(canvas) if chance.random() < 0.65 else on_a_ground(canvas)
    return Picture(canvas.finished(), caption)


def in_a_place(canvas: Canvas) -> str:
    """Draw something in one of the places; the caption."""
    chance = canvas.random
    words, backdrop = PLACES[chance.choice(list(PLACES))]
    backdrop(canvas)
    if chance.random() < 0.06:
        return words
    kind = chance.choices(("figure", "thing", "shape"), (0.6, 0.28, 0.12))[0]
    across = 0.5 if chance.random() < 0.4 else canvas.between(0.28, 0.72)
    tall = canvas.between(0.42, 0.88)
    colour = chance.choice(list(COLOURS))
    pen = pen_of(canvas, across, canvas.height * 0.9, canvas.height * tall / 1.5)
    doing = ""
    if kind != "shape":
        canvas.ellipse(pen.at(0, 0), pen.unit * 0.4, pen.unit * 0.07, (*INK, 90))
    if kind == "figure":
        noun, pose = chance.choice(list(FIGURES)), chance.choice(POSES)
        FIGURES[noun](pen, varied(COLOURS[colour], chance), pose)
        doing = "" if pose == "standing" else f", {pose}"
    else:
        stock = THINGS if kind == "thing" else SHAPES
        noun = chance.choice(list(stock))
        stock[noun](pen, varied(COLOURS[colour], chance))
    side = ", on the left" if across < 0.4 else ", on the right" if across > 0.6 else ""
    near = ", close up" if tall > 0.75 else ", far away" if tall < 0.5 else ""
    subject = f"{article(noun)}, {colour}" if chance.random() < 0.6 else article(f"{colour} {noun}")
    return f"{subject}{doing}, {words}{side}{near}"


def on_a_ground(canvas: Canvas) -> str:
    """Draw a shape on a plain or striped ground; the caption."""
    chance = canvas.random
    colour, ground, stripe = chance.sample(list(PAINTS), 3)
    canvas.box(-1, -1, canvas.width + 1, canvas.height + 1, varied(PAINTS[ground], chance))
    is_striped = chance.random() < 0.15
    if is_striped:
        wide = chance.choice((10, 14, 18))
        for left in range(0, canvas.width, 2 * wide):
            canvas.box(left, -1, left + wide, canvas.height + 1, varied(PAINTS[stripe], chance, 4))
    share = canvas.between(0.24, 0.72)
    unit = min(canvas.width, canvas.height) * share / 1.2
    place, (dx, dy) = chance.choice(SPOTS)
    room_x, room_y = canvas.width / 2 - unit * 0.6, canvas.height / 2 - unit * 0.6
    across = 0.5 + (dx * canvas.between(0.5, 0.95) + canvas.between(-0.1, 0.1)) * room_x / canvas.width
    middle = canvas.height / 2 + (dy * canvas.between(0.5, 0.95) + canvas.between(-0.1, 0.1)) * room_y
    stock = SHAPES if chance.random() < 0.8 else THINGS
    noun = chance.choice(list(stock))
    stock[noun](pen_of(canvas, across, middle + 0.7 * unit, unit), varied(PAINTS[colour], chance))
    size = "big " if share > 0.55 else "small " if share < 0.36 else ""
    where = f"on a {ground} and {stripe} striped background" if is_striped else f"on {article(ground)} background"
    return f"{article(f'{size}{colour} {noun}')} {where}{place}"


def pen_of(canvas: Canvas, across: float, foot: float, unit: float) -> Pen:
    """A pen for something that stands at a share of the width and a height in pixels; every third time with outlines."""
    x = canvas.width * across
    line = max(1.0, unit * 0.022) if canvas.random.random() < 0.6 else 0.0
    return Pen(canvas, lambda right, up: (x + right * unit, foot - up * unit), unit, line)


def varied(colour: Colour, chance: random.Random, most: int = 10) -> Colour:
    """A colour near ``colour``."""
    red, green, blue = (max(0, min(255, part + chance.randint(-most, most))) for part in colour)
    return red, green, blue


def clutter(number: int, size: tuple[int, int]) -> Image.Image:
    """Boxes, discs and lines of any colour over each other, some on a place: what a VAE is to show without a name."""
    chance = random.Random(f"clutter {number}")
    canvas = Canvas(size, chance, FINENESS)
    if chance.random() < 0.4:
        PLACES[chance.choice(list(PLACES))][1](canvas)
    else:
        canvas.fade(0, canvas.height, any_colour(chance), any_colour(chance))
    for _ in range(chance.randint(6, 18)):
        x, y = canvas.between(0, canvas.width), canvas.between(0, canvas.height)
        big, flat = 3 + 40 * chance.random() ** 2, canvas.between(0.4, 1.0)
        line = canvas.between(1.0, 2.0) if chance.random() < 0.5 else 0.0
        colour = any_colour(chance)
        match chance.randrange(4):
            case 0:
                canvas.ellipse((x, y), big, big * flat, colour, line)
            case 1:
                canvas.box(x - big, y - big * flat, x + big, y + big * flat, colour, corner=big * 0.4, outline=line)
            case 2:
                ends = [(x + canvas.between(-big, big), y + canvas.between(-big, big)) for _ in range(3)]
                canvas.stroke(ends, canvas.between(1.0, 6.0), colour)
            case _:
                canvas.polygon(
                    [(x + canvas.between(-big, big), y + canvas.between(-big, big)) for _ in range(3)], colour
                )
    return canvas.finished()


def any_colour(chance: random.Random) -> Colour:
    """A named colour, ink or any other, varied."""
    if chance.random() < 0.6:
        return varied(chance.choice([*PAINTS.values(), INK, (140, 240, 250), (255, 232, 120)]), chance)
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)
