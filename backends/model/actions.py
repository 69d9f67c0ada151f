"""What an operation does to what it touches: rules and gates decide by it."""

from __future__ import annotations

from enum import Enum


class Action(Enum):
    """The effect of an operation; gates decide by it."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    CATALOG = "catalog"
    SEARCH = "search"
    LOGIN = "login"
    NONE = "none"
