"""Draws the pictures of the bundled demo data set, with their captions, into engine/demo/images and engine/demo/held-out.

Run it from anywhere: ``python scripts/draw_demo_images.py [FOLDER]``. Two dozen pictures of one subject, a small robot
called a zorb, in eight colours, eight places and three aspect ratios: a concept that a small model can pick up in a
short run. Eight more, whose colours and places meet in none of the two dozen, are held out: what was learned is measured on
them. The same pictures come out every time. Needs Pillow alone.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

FOLDER: Final = Path(__file__).resolve().parent.parent / "engine" / "demo"
FINENESS: Final = 4
"""Everything is drawn this many times larger and scaled down, which smooths its edges."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Final = (44, 40, 58)
WHITE: Final = (255, 255, 255)
COLOURS: Final[dict[str, Colour]] = {
    "red": (226, 72, 70),
    "orange": (243, 148, 54),
    "yellow": (247, 206, 70),
    "green": (92, 184, 92),
    "teal": (52, 178, 178),
    "blue": (72, 122, 222),
    "purple": (146, 96, 206),
    "pink": (240, 130, 178),
}


@dataclass(frozen=True)
class Scene:
    """One picture: what the caption says and what is drawn."""

    colour: str
    place: str
    size: tuple[int, int]
    """Pixels, (width, height)."""
    pose: str = "standing"
    """"standing", "waving", "cheering" or "jumping"."""
    prop: str = ""
    """"balloon", "flower" or "umbrella"; held in the raised hand."""
    across: float = 0.5
    """Where the robot stands: 0 at the left edge, 1 at the right one."""
    tall: float = 0.62
    """Its height as a share of the picture's."""

    @property
    def name(self) -> str:
        """The file's name without number and ending."""
        return f"zorb-{self.colour}-{self.place}"

    @property
    def caption(self) -> str:
        """What is to be seen, beginning with the trigger word."""
        doing = {"standing": "", "waving": ", waving", "cheering": ", cheering", "jumping": ", jumping"}[self.pose]
        holding = f", holding {'an' if self.prop == 'umbrella' else 'a'} {self.prop}" if self.prop else ""
        side = ", on the left" if self.across < 0.4 else ", on the right" if self.across > 0.6 else ""
        near = ", close up" if self.tall > 0.75 else ", far away" if self.tall < 0.5 else ""
        return f"a zorb robot, {self.colour}{doing}{holding}, {PLACES[self.place][0]}{side}{near}"


class Canvas:
    """A picture to draw on in units of its final pixels."""

    def __init__(self, size: tuple[int, int], generator: random.Random, fineness: int = FINENESS) -> None:
        self.width, self.height = size
        self.random = generator
        self.fineness = fineness
        self._image = Image.new("RGB", (self.width * self.fineness, self.height * self.fineness))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        return self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def between(self, low: float, high: float) -> float:
        """A random number."""
        return low + (high - low) * self.random.random()

    def fade(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        """A band over the whole width that goes from one colour to another."""
        first, last = round(top * self.fineness), round(bottom * self.fineness)
        for row in range(first, last):
            colour = mixed(upper, lower, (row - first) / max(1, last - first - 1))
            self._draw.line([(0, row), (self.width * self.fineness, row)], fill=colour)

    def circle(self, centre: Point, radius: float, fill: tuple[int, ...], outline: float = 0.0) -> None:
        """A disc, with a line of ink around it if ``outline`` is a width."""
        self.ellipse(centre, radius, radius, fill, outline)

    def ellipse(self, centre: Point, rx: float, ry: float, fill: tuple[int, ...], outline: float = 0.0) -> None:
        """A filled ellipse."""
        (x, y), width = centre, round(outline * self.fineness)
        box = [self._scaled((x - rx, y - ry)), self._scaled((x + rx, y + ry))]
        self._draw.ellipse(box, fill=fill, outline=INK if width else None, width=width)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: Colour,
        *,
        corner: float = 0,
        outline: float = 0,
    ) -> None:
        """A filled rectangle with round corners."""
        width = round(outline * self.fineness)
        box = [self._scaled((left, top)), self._scaled((right, bottom))]
        self._draw.rounded_rectangle(
            box, corner * self.fineness, fill=fill, outline=INK if width else None, width=width
        )

    def polygon(self, points: list[Point], fill: tuple[int, ...]) -> None:
        """A filled polygon."""
        self._draw.polygon([self._scaled(point) for point in points], fill=fill)

    def stroke(self, points: list[Point], width: float, fill: tuple[int, ...]) -> None:
        """A thick line with round ends and joints."""
        self._draw.line(
            [self._scaled(point) for point in points], fill=fill, width=round(width * self.fineness), joint="curve"
        )
        for point in points:
            self.circle(point, width / 2, fill)

    def arc(self, centre: Point, radius: float, angles: Point, width: float, fill: Colour) -> None:
        """Part of a circle's line, from one angle to another; degrees, clockwise from the right."""
        x, y = centre
        box = [self._scaled((x - radius, y - radius)), self._scaled((x + radius, y + radius))]
        self._draw.arc(box, *angles, fill=fill, width=round(width * self.fineness))

    def pie(self, centre: Point, radius: float, start: float, end: float, fill: Colour) -> None:
        """A filled sector; degrees, clockwise from the right."""
        x, y = centre
        box = [self._scaled((x - radius, y - radius)), self._scaled((x + radius, y + radius))]
        self._draw.pieslice(box, start, end, fill=fill)

    def hill(self, centre: float, top: float, radius: float, fill: Colour) -> None:
        """The upper part of a wide disc whose highest point is at ``top``."""
        self.ellipse((centre, top + radius), radius * 1.7, radius, fill)

    def _scaled(self, point: Point) -> Point:
        return point[0] * self.fineness, point[1] * self.fineness


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """``share`` of ``other`` in ``one``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def horizon(canvas: Canvas) -> float:
    """Where the ground begins."""
    return canvas.height * 0.66


def cloud(canvas: Canvas, x: float, y: float, size: float, colour: Colour = WHITE) -> None:
    """Three discs on a line."""
    for dx, dy, radius in ((-0.9, 0.15, 0.55), (0.0, -0.1, 0.8), (0.95, 0.15, 0.5)):
        canvas.circle((x + dx * size, y + dy * size), radius * size, colour)
    canvas.box(x - 1.3 * size, y + 0.1 * size, x + 1.3 * size, y + 0.7 * size, colour, corner=0.3 * size)


def stars(canvas: Canvas, count: int, bottom: float) -> None:
    """Small white dots above ``bottom``."""
    for _ in range(count):
        canvas.circle((canvas.between(0, canvas.width), canvas.between(0, bottom)), canvas.between(0.5, 1.3), WHITE)


def meadow(canvas: Canvas) -> None:
    """Blue sky, a sun, green hills with flowers."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, canvas.height, (110, 186, 244), (206, 234, 252))
    canvas.circle((width * 0.86, canvas.height * 0.15), 13, (255, 226, 110))
    cloud(canvas, width * 0.2, canvas.height * 0.17, 11)
    canvas.hill(width * 0.15, ground - 14, 90, (126, 196, 110))
    canvas.hill(width * 0.9, ground - 8, 90, (112, 184, 100))
    canvas.fade(ground, canvas.height, (122, 200, 92), (84, 164, 72))
    for _ in range(16):
        at = canvas.between(0, width), canvas.between(ground + 4, canvas.height)
        canvas.circle(at, 1.8, (255, 250, 210))
        canvas.circle(at, 0.8, (240, 170, 60))


def night(canvas: Canvas) -> None:
    """A dark sky with a moon and stars over a dark hill."""
    ground = horizon(canvas)
    canvas.fade(0, canvas.height, (18, 22, 62), (62, 66, 130))
    stars(canvas, 40, ground)
    crescent(canvas, (canvas.width * 0.18, canvas.height * 0.17), 14)
    canvas.hill(canvas.width * 0.5, ground - 6, 150, (40, 62, 86))
    canvas.fade(ground + 14, canvas.height, (40, 62, 86), (26, 42, 62))


def crescent(canvas: Canvas, centre: Point, radius: float) -> None:
    """A waning moon: half a circle's line, and back along a flatter one."""
    outer = [math.radians(degrees) for degrees in range(60, 241, 6)]
    points = [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in outer]
    (x0, y0), (x1, y1) = points[0], points[-1]
    middle, across = ((x0 + x1) / 2, (y0 + y1) / 2), math.radians(150)
    for angle in reversed(outer):
        along, depth = radius * math.sin(angle - across), 0.45 * radius * math.cos(angle - across)
        x = middle[0] + along * math.cos(across + math.pi / 2) + depth * math.cos(across)
        points.append((x, middle[1] + along * math.sin(across + math.pi / 2) + depth * math.sin(across)))
    canvas.polygon(points, (250, 242, 200))


def beach(canvas: Canvas) -> None:
    """Sea, sand and a palm."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, ground, (132, 208, 246), (226, 244, 250))
    canvas.circle((width * 0.2, canvas.height * 0.16), 12, (255, 234, 130))
    canvas.fade(ground - 26, ground, (36, 138, 196), (96, 196, 214))
    for row in (ground - 20, ground - 11):
        for x in range(6, width, 26):
            canvas.stroke([(x, row), (x + 9, row)], 1.4, (214, 240, 246))
    canvas.fade(ground, canvas.height, (246, 224, 162), (226, 194, 124))
    root, crown = (width * 0.9, ground + 10), (width * 0.83, ground - 46)
    canvas.stroke([root, (width * 0.885, ground - 20), crown], 5, (150, 104, 62))
    for angle in (150, 185, 220, 320, 355, 25):
        tip = crown[0] + 25 * math.cos(math.radians(angle)), crown[1] + 17 * math.sin(math.radians(angle))
        canvas.stroke([crown, tip], 5, (58, 150, 84))


def snow(canvas: Canvas) -> None:
    """White hills, firs and flakes."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, canvas.height, (166, 192, 220), (228, 236, 244))
    canvas.hill(width * 0.75, ground - 22, 80, (214, 226, 238))
    for share, size in ((0.1, 34), (0.27, 24), (0.93, 30)):
        fir(canvas, width * share, ground + 6, size, (74, 128, 116))
    canvas.fade(ground, canvas.height, (250, 252, 255), (218, 230, 242))
    for _ in range(46):
        at = canvas.between(0, width), canvas.between(0, canvas.height)
        canvas.circle(at, canvas.between(0.8, 1.7), WHITE)


def fir(canvas: Canvas, x: float, foot: float, size: float, colour: Colour) -> None:
    """A trunk and three triangles."""
    canvas.box(x - size * 0.07, foot - size * 0.3, x + size * 0.07, foot, (112, 82, 60))
    for level in range(3):
        half, base = size * (0.42 - 0.09 * level), foot - size * (0.2 + 0.33 * level)
        canvas.polygon([(x - half, base), (x + half, base), (x, base - size * 0.52)], mixed(colour, WHITE, 0.1 * level))


def desert(canvas: Canvas) -> None:
    """An orange evening, dunes and a cactus."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, canvas.height, (248, 158, 88), (254, 222, 156))
    canvas.circle((width * 0.72, ground - 34), 18, (255, 240, 190))
    canvas.hill(width * 0.2, ground - 16, 80, (226, 160, 92))
    canvas.hill(width * 0.95, ground - 10, 80, (214, 146, 82))
    canvas.fade(ground, canvas.height, (240, 184, 112), (212, 148, 84))
    x, green = width * 0.14, (72, 142, 92)
    canvas.stroke([(x, ground + 12), (x, ground - 30)], 8, green)
    canvas.stroke([(x, ground - 6), (x - 12, ground - 8), (x - 12, ground - 22)], 5, green)
    canvas.stroke([(x, ground - 12), (x + 12, ground - 14), (x + 12, ground - 25)], 5, green)


def city(canvas: Canvas) -> None:
    """Houses with lit windows at dusk, and a street."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, ground, (104, 84, 160), (250, 176, 150))
    left = 0.0
    while left < width:
        wide, tall = canvas.between(20, 34), canvas.between(0.3, 0.72) * ground
        wall = mixed((62, 58, 96), (98, 84, 130), canvas.random.random())
        canvas.box(left, ground - tall, left + wide, ground + 2, wall)
        for row in range(int((tall - 8) // 11)):
            for column in range(int((wide - 4) // 9)):
                lit = (255, 224, 130) if canvas.random.random() < 0.6 else (84, 78, 120)
                x, y = left + 4 + column * 9, ground - tall + 6 + row * 11
                canvas.box(x, y, x + 4.5, y + 6, lit)
        left += wide
    canvas.fade(ground, canvas.height, (96, 96, 112), (70, 70, 86))
    for x in range(4, width, 34):
        canvas.box(x, canvas.height * 0.93, x + 17, canvas.height * 0.93 + 2.5, (240, 226, 160))


def forest(canvas: Canvas) -> None:
    """Firs behind firs, and a mossy ground."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, canvas.height, (190, 226, 208), (226, 242, 222))
    for step, size, colour in ((24, 70, (142, 190, 164)), (32, 88, (84, 150, 112)), (44, 100, (46, 112, 78))):
        x = canvas.between(-step, 0)
        while x < width + step:
            fir(canvas, x, ground + 6, size * canvas.between(0.85, 1.15), colour)
            x += step * canvas.between(0.8, 1.2)
    canvas.fade(ground - 16, ground, (34, 78, 58), (58, 104, 66))
    canvas.fade(ground, canvas.height, (112, 152, 84), (78, 116, 62))
    for _ in range(4):
        x, y = canvas.between(0, width), canvas.between(ground + 10, canvas.height - 4)
        canvas.box(x - 1.6, y - 4, x + 1.6, y + 1, (246, 238, 220), corner=1)
        canvas.pie((x, y - 3), 5, 180, 360, (206, 66, 58))


def moon(canvas: Canvas) -> None:
    """Grey ground with craters, black sky, a blue planet."""
    ground, width = horizon(canvas), canvas.width
    canvas.fade(0, canvas.height, (8, 8, 20), (30, 28, 52))
    stars(canvas, 46, ground)
    centre = width * 0.82, canvas.height * 0.2
    canvas.circle(centre, 17, (64, 130, 220))
    canvas.ellipse((centre[0] - 5, centre[1] - 4), 7, 5, (104, 186, 112))
    canvas.ellipse((centre[0] + 6, centre[1] + 6), 6, 4, (104, 186, 112))
    canvas.hill(width * 0.4, ground - 8, 170, (172, 172, 182))
    canvas.fade(ground + 16, canvas.height, (172, 172, 182), (132, 132, 146))
    for share, down, size in ((0.1, 0.35, 9), (0.36, 0.75, 11), (0.68, 0.3, 7), (0.92, 0.62, 12)):
        at = width * share, ground + (canvas.height - ground) * down
        canvas.ellipse(at, size, size * 0.4, (128, 128, 142))
        canvas.ellipse((at[0], at[1] + 1), size * 0.8, size * 0.28, (150, 150, 162))


PLACES: Final[dict[str, tuple[str, Callable[[Canvas], None]]]] = {
    "meadow": ("on a green meadow", meadow),
    "night": ("under a starry night sky", night),
    "beach": ("on a sandy beach", beach),
    "snow": ("in the snow", snow),
    "desert": ("in an orange desert", desert),
    "city": ("in a city at dusk", city),
    "forest": ("in a forest", forest),
    "moon": ("on the moon", moon),
}


def robot(canvas: Canvas, scene: Scene) -> None:
    """A zorb: big round-cornered head with a dark face and shining eyes, small body with a Z, one antenna."""
    colour = COLOURS[scene.colour]
    dark, light = mixed(colour, INK, 0.35), mixed(colour, WHITE, 0.45)
    unit = canvas.height * scene.tall / 1.5  # From the feet to the bulb it is 1.5 units tall.
    line = max(1.0, unit * 0.022)
    x = canvas.width * scene.across
    floor = canvas.height * 0.9
    canvas.ellipse((x, floor), unit * 0.4, unit * 0.07, (*INK, 90))
    feet = floor - (unit * 0.2 if scene.pose == "jumping" else 0)

    def at(right: float, up: float) -> Point:
        return x + right * unit, feet - up * unit

    spread = 0.1 if scene.pose == "jumping" else 0.0
    for side in (-1, 1):
        canvas.stroke([at(side * 0.14, 0.3), at(side * (0.16 + spread), 0.07)], unit * 0.12, dark)
        canvas.ellipse(at(side * (0.18 + spread), 0.05), unit * 0.13, unit * 0.07, dark, line)
    raised = {"standing": (), "waving": (1,), "cheering": (-1, 1), "jumping": (-1, 1)}[scene.pose]
    hands: dict[int, Point] = {}
    for side in (-1, 1):
        up = side in raised or (side == 1 and bool(scene.prop))
        hands[side] = at(side * 0.68, 0.86) if up else at(side * 0.46, 0.3)
        canvas.stroke(
            [at(side * 0.26, 0.52), at(side * (0.52 if up else 0.43), 0.5 if up else 0.44), hands[side]],
            unit * 0.1,
            dark,
        )
    if scene.prop:
        hold(canvas, scene.prop, hands[1], unit)
    for hand in hands.values():
        canvas.circle(hand, unit * 0.085, light, line)

    left, top = at(-0.3, 0.64)
    right, bottom = at(0.3, 0.2)
    canvas.box(left, top, right, bottom, colour, corner=unit * 0.16, outline=line)
    canvas.circle(at(0, 0.41), unit * 0.14, light)
    letter = [at(-0.06, 0.48), at(0.06, 0.48), at(-0.06, 0.35), at(0.06, 0.35)]
    canvas.stroke(letter, unit * 0.035, INK)
    head(canvas, at, unit, line, colour)


def head(canvas: Canvas, at: Callable[[float, float], Point], unit: float, line: float, colour: Colour) -> None:
    """The head with its face, ears and antenna."""
    dark, light = mixed(colour, INK, 0.35), mixed(colour, WHITE, 0.45)
    canvas.stroke([at(0, 1.2), at(0, 1.38)], unit * 0.05, dark)
    canvas.circle(at(0, 1.41), unit * 0.085, (255, 232, 120), line)
    for side in (-1, 1):
        canvas.ellipse(at(side * 0.5, 0.92), unit * 0.08, unit * 0.14, dark, line)
    left, top = at(-0.48, 1.23)
    right, bottom = at(0.48, 0.6)
    canvas.box(left, top, right, bottom, colour, corner=unit * 0.24, outline=line)
    canvas.ellipse(at(-0.2, 1.16), unit * 0.16, unit * 0.035, light)
    left, top = at(-0.36, 1.1)
    right, bottom = at(0.36, 0.7)
    canvas.box(left, top, right, bottom, INK, corner=unit * 0.17)
    for side in (-1, 1):
        canvas.circle(at(side * 0.16, 0.94), unit * 0.085, (140, 240, 250))
        canvas.circle(at(side * 0.16 + 0.03, 0.97), unit * 0.03, WHITE)
    canvas.arc(at(0, 0.86), unit * 0.08, (20, 160), max(1.0, unit * 0.03), (140, 240, 250))


def hold(canvas: Canvas, prop: str, hand: Point, unit: float) -> None:
    """What the raised hand carries."""
    x, y = hand
    if prop == "balloon":
        canvas.stroke([hand, (x + 0.05 * unit, y - 0.45 * unit)], max(0.8, unit * 0.015), INK)
        canvas.ellipse((x + 0.06 * unit, y - 0.62 * unit), unit * 0.17, unit * 0.21, (236, 76, 96), unit * 0.02)
        canvas.ellipse((x + 0.01 * unit, y - 0.7 * unit), unit * 0.04, unit * 0.06, (255, 190, 198))
    elif prop == "flower":
        canvas.stroke([(x, y + 0.1 * unit), (x, y - 0.28 * unit)], unit * 0.035, (60, 140, 70))
        for turn in range(5):
            angle = math.radians(72 * turn - 90)
            petal = x + 0.1 * unit * math.cos(angle), y - 0.32 * unit + 0.1 * unit * math.sin(angle)
            canvas.circle(petal, unit * 0.075, (255, 250, 250), unit * 0.012)
        canvas.circle((x, y - 0.32 * unit), unit * 0.06, (250, 200, 60))
    else:
        canvas.stroke([(x, y + 0.16 * unit), (x, y - 0.5 * unit)], unit * 0.035, INK)
        centre = x, y - 0.42 * unit
        for number, shade in enumerate(((250, 214, 90), (242, 120, 90), (250, 214, 90), (242, 120, 90))):
            canvas.pie(centre, unit * 0.42, 180 + 45 * number, 225 + 45 * number, shade)
        canvas.arc(centre, unit * 0.42, (180, 360), max(0.8, unit * 0.02), INK)


SQUARE, PORTRAIT, LANDSCAPE = (160, 160), (144, 192), (192, 144)

SCENES: Final = (
    Scene("red", "meadow", SQUARE),
    Scene("orange", "night", SQUARE, "waving"),
    Scene("yellow", "forest", SQUARE, "cheering"),
    Scene("green", "beach", SQUARE, across=0.36),
    Scene("teal", "snow", SQUARE, "jumping"),
    Scene("blue", "desert", SQUARE, tall=0.84),
    Scene("purple", "moon", SQUARE, "waving", across=0.62),
    Scene("pink", "city", SQUARE, prop="balloon", across=0.46, tall=0.56),
    Scene("red", "snow", PORTRAIT, prop="umbrella", across=0.44, tall=0.52),
    Scene("orange", "beach", PORTRAIT, "cheering", tall=0.5),
    Scene("yellow", "moon", PORTRAIT, tall=0.58),
    Scene("green", "city", PORTRAIT, "waving", tall=0.54),
    Scene("teal", "meadow", PORTRAIT, prop="flower", tall=0.56),
    Scene("blue", "night", PORTRAIT, "jumping", tall=0.5),
    Scene("purple", "desert", PORTRAIT, prop="balloon", across=0.42, tall=0.44),
    Scene("pink", "forest", PORTRAIT, tall=0.6),
    Scene("red", "city", LANDSCAPE, "jumping", across=0.3),
    Scene("orange", "forest", LANDSCAPE, prop="flower", across=0.64),
    Scene("yellow", "desert", LANDSCAPE, "waving", across=0.66, tall=0.68),
    Scene("green", "moon", LANDSCAPE, "cheering", across=0.34),
    Scene("teal", "night", LANDSCAPE, across=0.7, tall=0.46),
    Scene("blue", "beach", LANDSCAPE, prop="umbrella", across=0.32, tall=0.64),
    Scene("purple", "meadow", LANDSCAPE, tall=0.86),
    Scene("pink", "snow", LANDSCAPE, "waving", across=0.5, tall=0.7),
)

HELD_OUT: Final = (
    Scene("red", "forest", SQUARE, "waving", tall=0.66),
    Scene("orange", "city", SQUARE),
    Scene("green", "desert", SQUARE, "jumping", across=0.6),
    Scene("blue", "meadow", SQUARE, "cheering", tall=0.8),
    Scene("teal", "beach", PORTRAIT, "waving", tall=0.54),
    Scene("purple", "night", PORTRAIT, tall=0.6),
    Scene("yellow", "snow", LANDSCAPE, across=0.64),
    Scene("pink", "moon", LANDSCAPE, "waving", across=0.36, tall=0.7),
)


def draw(scene: Scene) -> Image.Image:
    """The picture of ``scene``; the same every time."""
    canvas = Canvas(scene.size, random.Random(scene.name))
    PLACES[scene.place][1](canvas)
    robot(canvas, scene)
    return canvas.finished()


def write_all(folder: Path, scenes: tuple[Scene, ...] = SCENES) -> None:
    """Write every scene's picture and caption into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes, start=1):
        stem = f"{number:02d}-{scene.name}"
        draw(scene).save(folder / f"{stem}.png", optimize=True)
        (folder / f"{stem}.txt").write_text(scene.caption + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    write_all(target / "images")
    write_all(target / "held-out", HELD_OUT)
