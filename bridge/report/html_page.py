"""Small HTML pages beside the report: no network, no script, everything escaped."""

from functools import cache

import jinja2

from bridge.report.wording import visible


def page(template: str, **values: object) -> str:
    """A template of this package, filled."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = visible
    return environment
