"""Ways to differentiate a plain chain of layers; `hodsim.derivatives.planner` picks one."""
