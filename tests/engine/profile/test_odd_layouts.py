"""An edit of one value changes its line alone, byte for byte, however the file is laid out and whatever ends its lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.profile.document import ProfileDocument
from engine.profile.fields import STAGES, profile_fields
from tests.engine.profile.line_changes import changed, value_at
from tests.engine.profile.profile_strategies import values

ROOMY = '''\
# head
schema = 1
name\t=\t"x"   # my name

[model]
  base = '/a b'\t# tab before
[network] # header
\trank = 16
alpha = 8.0 # a
[ optimizer ]
lr   =   1e-4     # the usual
[samples]
prompts = [ # list
  "a", # first
  'b',

  # last
  "c # no comment",
]
negative = """
multi
line # no comment
"""
[training]
steps = 1_000
[[dataset.sources]] # one
path = "p"  # pictures
repeats = 3
[dataset]
resolution = 1024
'''
CLOSE = """\
schema=1
name="x"
model={base="/a"} # inline
network = { rank = 16, alpha = 8 } # also
optimizer.lr = 1e-4 # dotted
training = {steps = 100, batch_size = 2}
dataset = { resolution = 1024, sources = [ { path = "p", repeats = 2 }, {path="q"} ] }
samples = { prompts = ["a","b"], negative = "n" }
"""
FIELDS = [field for field in profile_fields() if field.path not in {"schema", STAGES} and field.kind != "tables"]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A profile in one of the layouts, with the line ends of one system, or of two, and perhaps none at the end."""
    text = draw(st.sampled_from([ROOMY, CLOSE]))
    ends = draw(st.sampled_from(["unix", "windows", "both"]))
    if ends != "unix":
        lines = text.split("\n")
        text = "".join(
            f"{line}\r\n" if ends == "windows" or at % 3 == 0 else f"{line}\n" for at, line in enumerate(lines[:-1])
        )
    return draw(st.sampled_from([text, text.rstrip("\r\n")]))


def comments(text: str) -> Counter[str]:
    return Counter(line.partition("#")[2].rstrip("\r") for line in text.split("\n") if "#" in line)


@settings(max_examples=200, deadline=None)
@given(texts(), st.data())
def test_one_line_changes_and_no_other_byte(text: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(FIELDS))
    value = data.draw(values(field))
    before = value_at(text, field.path)
    edited = ProfileDocument.new(Path("profile.toml"), text)
    edited.set(field.path, value)
    assert value_at(edited.text, field.path) == value
    assert edited.text.endswith("\n") == text.endswith("\n")
    gone, come = changed(text.split("\n"), edited.text.split("\n"))
    if before is None:
        assert len(gone) <= 1, "one line was extended, or got an end"
        assert len([line for line in come if line.strip()]) - len(gone) <= 2, "a line, and its section's header"
    elif not isinstance(before, list) and "\n" not in str(before):
        assert len(gone) == len(come) <= 1
        assert [line.endswith("\r") for line in gone] == [line.endswith("\r") for line in come]
    if not isinstance(before, list) and "\n" not in str(before) and "#" not in str(value):
        assert comments(edited.text) == comments(text)
    if text.count("\r\n") == text.count("\n"):
        assert edited.text.count("\r\n") == edited.text.count("\n")
