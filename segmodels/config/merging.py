"""`labels` of a data set as people write it, before it is one class for each mask value.

    labels: {0: background, "3, 4": vehicle, 255: void}     several values are one class
    labels: groups                                          the groups are the classes

A list as a key is YAML too, but `dvc exp run -S` fails on it; so several values stand in one text.
"""

from collections.abc import Mapping
from typing import Any

GROUPS = "groups"
VOID_VALUE = 255  # of masks, where `void` says no other


def expanded(entry: Any) -> Any:
    """A data set's section with a class for each mask value; what has no such form is left.

    Raises:
        ValueError: a value comes twice, or `groups` cannot be classes.
    """
    if not isinstance(entry, dict):
        return entry
    labels = entry.get("labels")
    if labels == GROUPS:
        return _by_group(entry)
    return entry | {"labels": _single(labels)} if isinstance(labels, Mapping) else entry


def _single(labels: Mapping[Any, Any]) -> dict[Any, Any]:
    """`labels` with one value a key."""
    single = dict[Any, Any]()
    for key, name in labels.items():
        parts = key.split(",") if isinstance(key, str) else [key]
        if isinstance(key, tuple):  # a list in YAML
            raise ValueError(
                f"labels has the list {list(key)} as a key, which `dvc exp run -S` cannot read: "
                f'expected "{", ".join(map(str, key))}": {name}'
            )
        for part in parts:
            value = _value(part)
            if value in single:
                raise ValueError(f"labels says twice what {value} is: expected each value once")
            single[value] = name
    return single


def _value(part: Any) -> int:
    """A mask value, as a number or its digits; YAML's true would pass for 1."""
    text = part.strip() if isinstance(part, str) else ""
    if text.isascii() and text.isdecimal():
        return int(text)
    if type(part) is int:
        return part
    raise ValueError(f'labels has the key {part!r}: expected values of masks, as 3 or "3, 4"')


def _by_group(entry: dict[str, Any]) -> dict[str, Any]:
    """The section of a data set whose classes are merged into its groups.

    Mask values are places in `classes`. A class of no group stays one; a group may be absent if
    all its classes may, and has the colour of the first.
    """
    classes: Any = entry.get("classes")
    groups: Any = entry.get("groups")
    if not _is_text_list(classes) or not isinstance(groups, dict) or not groups:
        raise ValueError("labels = 'groups': expected `classes` and `groups`, names of classes")
    group_of = dict[str, str]()
    for group, members in groups.items():
        if not isinstance(group, str) or group == "void" or not _is_text_list(members):
            raise ValueError(
                f"groups.{group}: expected a name other than void, and a list of classes"
            )
        for member in members:
            if member not in classes or member in group_of:
                raise ValueError(
                    f"groups.{group} has {member!r}: with `labels: groups` expected a class that "
                    "is in no other group"
                )
            group_of[member] = group
    if clash := [name for name in classes if name in groups and name not in group_of]:
        raise ValueError(f"groups.{clash[0]}: there is a class of that name, which is in no group")
    void = entry.get("void", VOID_VALUE)
    if isinstance(void, int) and void < len(classes):
        raise ValueError(f"void = {void}: the mask value of {classes[void]}; expected another one")
    targets = [group_of.get(name, name) for name in classes]
    merged = list(dict.fromkeys(targets))
    may_lack = set(entry.get("allow_absent") or [])
    needed = {target for name, target in zip(classes, targets, strict=True) if name not in may_lack}
    result = {key: value for key, value in entry.items() if key != "groups"}
    result["classes"] = merged
    result["labels"] = dict(enumerate(targets)) | {void: "void"}
    result["allow_absent"] = [name for name in merged if name not in needed]
    palette = entry.get("palette")
    if isinstance(palette, list) and len(palette) == len(classes):
        result["palette"] = [palette[targets.index(name)] for name in merged]
    return result


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(member, str) for member in value)
