"""View `fused`: the fused picture."""

from __future__ import annotations

from edgefuse.views.base import Picture, Scene, View


class FusedView(View):
    """The fused picture, as it is."""

    def draw(self, scene: Scene) -> Picture:
        return scene.fused

    @property
    def colours(self) -> None:
        return None
