"""The sweep file: YAML with line numbers, axes, draws, and the plan that follows from them."""
