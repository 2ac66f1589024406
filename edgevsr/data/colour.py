"""BT.601 luma and chroma as MATLAB and decoders use them: studio swing, 8-bit range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([65.481, 128.553, 24.966]) / 255.0


def rgb_to_y(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Return the unrounded luma, 16 to 235, of RGB (H, W, 3) in 0 to 255.

    Source: ITU-R BT.601; MATLAB rgb2ycbcr.
    """
    luma: NDArray[np.float64] = 16.0 + rgb.astype(np.float64) @ _LUMA
    return luma
