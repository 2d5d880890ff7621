"""The components of a stack as a Mermaid flowchart, which viewers of Markdown draw themselves."""

from __future__ import annotations

from worker.infra.components import Component, Components, counted

_NAMED = 3
"""More resources of one kind are counted, not named."""


def mermaid(components: Components) -> str:
    """One node a component, one arrow a reference.

    An arrow leads from a component to one whose resources it names. It is left out where other
    arrows lead there too: the page's table has all of them.
    """
    nodes = {one.name: f"c{number}" for number, one in enumerate(components.all)}
    lines = ["flowchart TB"]
    lines += [f'  {nodes[one.name]}["{_label(one)}"]' for one in components.all]
    lines += [
        f"  {nodes[a]} --> {nodes[b]}"
        for a, b in sorted(components.references)
        if not _reached(components, a, b)
    ]
    return "\n".join(lines) + "\n"


def _label(component: Component) -> str:
    things = counted(part.resource for part in component.parts if part.thing)
    lines = [f"<b>{_text(component.name)}</b>"]
    for kind, names in things.items():
        title = _text(kind.rpartition("/")[2])
        many = len(names) > _NAMED
        lines.append(f"{len(names)} {title}" if many else f"{title} {_text(', '.join(names))}")
    return "<br/>".join(lines)


def _text(value: str) -> str:
    """Mermaid reads HTML in labels, and ends them at a quotation mark."""
    return (
        value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    )


def _reached(components: Components, start: str, end: str) -> bool:
    """Whether references other than the direct one lead from one component to another."""
    seen: set[str] = set()
    waiting = [b for a, b in components.references if a == start and b != end]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [b for a, b in components.references if a == name]
    return end in seen
