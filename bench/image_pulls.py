"""Pulls of one image by twenty clients at once, each request on a new TLS connection, as dockerd makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.contents import MANIFEST_TYPE, SMALL_BYTES, Image, make_image, put_image
from bench.contestants import Contestant
from bench.load import Load
from bench.scale import Scale

CLIENTS = 20
LAYERS = 10
TAG = "ten-layers"


def measure_image_pulls(
    contestants: Sequence[Contestant], load: Load, scale: Scale
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields a contestant's name and what one round found: milliseconds of CPU for each pull, and pulls a second."""
    image = make_image(
        load, tag=TAG, seeds=range(100, 101 + LAYERS), sizes=[SMALL_BYTES, *[scale.layer_of_ten] * LAYERS]
    )
    for contestant in contestants:
        put_image(contestant, image, load)
    for number in range(scale.image_rounds + 1):
        for contestant in contestants:
            more = ["-verify"] if number == 0 else []
            found = load.measure(contestant, "images", f"-clients={CLIENTS}", *_asked(image), *more)
            if number > 0:
                pulls = found.result.requests
                yield contestant.name, {"cpu": found.used.cpu / pulls * 1e3, "rate": pulls / found.result.seconds}


def _asked(image: Image) -> list[str]:
    configuration, *layers = image.blobs
    return [
        f"-manifest={image.tag_path}",
        f"-header=Accept: {MANIFEST_TYPE}",
        f"-configuration={configuration.path}",
        *(f"-layer={layer.path}" for layer in layers),
    ]
