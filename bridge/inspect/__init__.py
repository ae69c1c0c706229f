"""A look into a model before it is converted: `inspect(source)`, and the result as text, rich output or JSON."""

from bridge.inspect.explain import explain
from bridge.inspect.overview import Inspection, NodeView, RuleView, inspect, overview
from bridge.inspect.view import render, show

__all__ = ["Inspection", "NodeView", "RuleView", "explain", "inspect", "overview", "render", "show"]
