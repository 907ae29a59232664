"""The sweep file: YAML with lines, axes, draws, and the plan that follows from them."""
