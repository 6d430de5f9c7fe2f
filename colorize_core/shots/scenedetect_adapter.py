"""kinecolor's shot detection as a detector of PySceneDetect, for use in its `SceneManager`."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode, SceneDetector

from colorize_core.shots.detect import ShotDetector


class LumaDetector(SceneDetector):
    """`ShotDetector` behind PySceneDetect's interface: cuts, fades and dissolves as cuts."""

    def __init__(self) -> None:
        super().__init__()
        self._detector = ShotDetector()
        self._reported = 0

    def process_frame(
        self, timecode: FrameTimecode, frame_img: NDArray[np.uint8]
    ) -> list[FrameTimecode]:
        """The cuts decided by now. `frame_img` is BGR ``[H, W, 3]`` or grey ``[H, W]``, uint8."""
        grey = frame_img if frame_img.ndim == 2 else cv2.cvtColor(frame_img, cv2.COLOR_BGR2GRAY)
        self._detector.watch(self._detector.frames, np.asarray(grey, np.uint8))
        return self._news(timecode)

    def post_process(self, timecode: FrameTimecode) -> list[FrameTimecode]:
        """The cuts that were still open at the end."""
        self._detector.finish()
        return self._news(timecode)

    def _news(self, latest: FrameTimecode) -> list[FrameTimecode]:
        """Boundaries that were not reported yet; `latest` is the time of the last frame watched."""
        fresh = self._detector.boundaries[self._reported :]
        self._reported += len(fresh)
        last = self._detector.frames - 1
        return [latest - (last - boundary.frame) for boundary in fresh]
