"""Building blocks of the compiled layer (NVIDIA Warp), free of any material.

Importing this room starts Warp once, quietly, with fused multiply-adds allowed on the CPU.
"""

from hodsim.kernels.runtime import matrix_type, share, vector_type

__all__ = ["matrix_type", "share", "vector_type"]
