"""A section's form at moments when its lines do not stand on the screen yet."""

from __future__ import annotations

from textual.app import App

from engine.profile.fields import profile_sections
from sdxl_tui.widgets.profile_form import FieldRow, SectionForm
from tests.sdxl_tui.places.place_field import screen_text


class OneForm(App[None]):
    """Mounts a form as the editor does while a save of before still wants to say something."""

    def on_mount(self) -> None:
        """Speak to the form before its lines are composed."""
        section = next(section for section in profile_sections() if section.name == "optimizer")
        form = SectionForm(section, {"optimizer.lr": 1e-4}, {})
        self.mount(form)
        form.show_origins({"optimizer.lr": "base.toml"})
        form.show_problems({"optimizer.kind": "no such optimizer"})
        form.show_marks({}, {"optimizer.lr"})


async def test_what_is_said_before_the_lines_are_composed_stands_there_afterwards() -> None:
    app = OneForm()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "no such optimizer" in screen_text(app)
        assert next(iter(app.query(FieldRow))).has_class("-error")
        lr = next(line for line in screen_text(app).splitlines() if line.strip().startswith("lr"))
        assert lr.split()[:2] == ["lr", "•"] and "from base.toml" in lr
