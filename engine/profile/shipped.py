"""Where profiles are found: shipped with the package, in the workspace, or at a path."""

from __future__ import annotations

import difflib
from pathlib import Path

from engine.profile.problems import Problem, ProfileError

_PACKAGE = Path(__file__).parent


def shipped_profiles() -> list[Path]:
    """The shipped profiles by name, from the wheel or the source checkout this package was imported from."""
    installed = _PACKAGE / "shipped"
    folder = installed if installed.is_dir() else _PACKAGE.parent.parent / "profiles"
    return sorted(folder.glob("*.toml"))


def head_of(path: Path) -> str:
    """The comment at the head of a profile up to its first empty line, as one paragraph; empty where it cannot be read."""
    lines = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if not line.startswith("# "):
                    break
                lines.append(line[2:].strip())
    except (OSError, UnicodeError):
        return ""
    return " ".join(lines)


def find_profile(name_or_path: str, workspace_profiles: Path) -> Path:
    """The file a person means: a path, else a name among the workspace's profiles, else among the shipped ones.

    The ending .toml may be left out. Raises ``ProfileError`` with the nearest name.
    """
    own = sorted(workspace_profiles.glob("*.toml")) if workspace_profiles.is_dir() else []
    is_name = "/" not in name_or_path and not name_or_path.startswith((".", "~"))
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file() or (path.exists() and not is_name):
            return path
        if (with_ending := path.with_name(f"{path.name}.toml")).is_file():
            return with_ending
    except (OSError, ValueError, RuntimeError):
        pass  # no name a file can have
    if is_name:
        for candidate in (*own, *shipped_profiles()):
            if name_or_path in {candidate.stem, candidate.name}:
                return candidate
    names = sorted({candidate.stem for candidate in (*own, *shipped_profiles())})
    wanted = Path(name_or_path).name.removesuffix(".toml")
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    suggestion = f"did you mean {close[0]}?" if close else f"known by name: {', '.join(names)}"
    raise ProfileError([Problem(name_or_path, None, None, "", None, "there is no such profile", suggestion)])
