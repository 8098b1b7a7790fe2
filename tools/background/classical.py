"""Classical segmentation of the miniature's validation pictures, and what it is worth.

The pictures are those of the pipeline before they become JPEG files. Colours are in 0..1. Regions
are judged by `regions.oracle`, edges by the void that the miniature draws around every object.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from skimage import color, feature, filters, measure, segmentation

from segmodels.config import params
from segmodels.data.sources.miniature import generate
from segmodels.data.sources.miniature.generate import VOID, Scene
from segmodels.evaluation.confusion import iou, mean
from segmodels.evaluation.scores import floor_confusion
from stages.download import SEED
from tools.background import regions
from tools.background.results import Row

SIGMA = 1.0  # pixels; standard deviation of the Gaussian that takes the noise away first
SEED_DISTANCE = 2  # pixels between two seeds of region growing
LEAST = 20  # pixels of felzenszwalb's smallest region


class Method(NamedTuple):
    """A way to cut a picture into regions."""

    cut: Callable[[np.ndarray, float], np.ndarray]
    settings: tuple[float, ...]  # from coarse to fine
    meaning: str
    typical: float  # the setting that the text quotes: about 27 regions a picture


def pictures(data: params.Params) -> list[Scene]:
    """The miniature's validation pictures."""
    dataset = data.datasets["miniature"]
    size = dataset.generate
    if size is None:
        raise ValueError("params.yaml, datasets.miniature: expected `generate`, to draw pictures")
    scenes = generate.draw(dataset.classes, size.short_side, size.long_side, seed=(SEED, 1))
    return list(islice(scenes, size.val))


def smooth(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> float 0..1, without most of the noise."""
    return filters.gaussian(image.astype(float) / 255, sigma=SIGMA, channel_axis=-1)


def grey(image: np.ndarray) -> np.ndarray:
    """Luminance (H, W) in 0..1 of `smooth`."""
    return color.rgb2gray(smooth(image))


def slope(image: np.ndarray) -> np.ndarray:
    """(H, W) Sobel gradient of grey."""
    return filters.sobel(grey(image))


def sobel(image: np.ndarray, threshold: float) -> np.ndarray:
    """(H, W) bool: pixels whose gradient exceeds the threshold."""
    return slope(image) > threshold


def canny(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W) bool: Canny's thin edges, with skimage's thresholds."""
    return feature.canny(color.rgb2gray(image), sigma=sigma)


def levels(image: np.ndarray, count: float) -> np.ndarray:
    """(H, W) grey level of each pixel, 0..count-1, after Otsu's thresholds."""
    values = grey(image)
    return np.digitize(values, filters.threshold_multiotsu(values, int(count)))


def threshold(image: np.ndarray, count: float) -> np.ndarray:
    """Connected pixels of one level are a region."""
    return measure.label(levels(image, count) + 1, connectivity=1)


def grow(image: np.ndarray, tolerance: float) -> np.ndarray:
    """Flood from every smooth place that is still free; the flood takes what remains in order.

    A flood takes the connected free pixels whose grey differs from the seed's by at most the
    tolerance. Pixels that none takes join a neighbour by `watershed`.
    """
    values = grey(image)
    gradient = slope(image)
    grown = np.zeros(values.shape, dtype=np.int64)
    seeds = feature.peak_local_max(-gradient, min_distance=SEED_DISTANCE, exclude_border=False)
    for number, seed in enumerate(map(tuple, seeds), start=1):
        if not grown[seed]:
            free = np.where(grown > 0, 9, values)  # 9: out of every flood's reach
            flooded = segmentation.flood(free, seed, tolerance=tolerance, connectivity=1)
            grown[flooded] = number
    return segmentation.watershed(gradient, grown)


def watershed(image: np.ndarray, markers: float) -> np.ndarray:
    """Regions that grow from a grid of markers uphill on the steepest colour's gradient."""
    red, green, blue = np.moveaxis(smooth(image), -1, 0)
    gradient = np.max([filters.sobel(red), filters.sobel(green), filters.sobel(blue)], axis=0)
    return segmentation.watershed(gradient, markers=int(markers))


def split_and_merge(image: np.ndarray, spread: float) -> np.ndarray:
    """Quarters until homogeneous, then neighbours united while they stay so."""
    colours = smooth(image)
    return regions.merge(colours, regions.split(colours, spread), spread)


def graph(image: np.ndarray, scale: float) -> np.ndarray:
    """Felzenszwalb and Huttenlocher's merging along the weakest differences."""
    return segmentation.felzenszwalb(image, scale=scale, sigma=SIGMA, min_size=LEAST)


METHODS = {
    "Otsu thresholds": Method(threshold, (2, 3, 4), "grey levels", 3),
    "region growing": Method(grow, (0.2, 0.12, 0.08, 0.05, 0.03), "tolerance (grey, 0..1)", 0.08),
    "watershed": Method(watershed, (8, 16, 32, 64, 128), "markers", 32),
    "split and merge": Method(
        split_and_merge, (0.5, 0.4, 0.3, 0.2, 0.15), "spread (colour, 0..1)", 0.5
    ),
    "graph (felzenszwalb)": Method(graph, (400, 200, 100, 50, 20), "scale", 200),
    "plain squares": Method(
        lambda image, count: regions.squares(image.shape[:2], int(count)),
        (4, 9, 16, 27, 64, 128, 256),
        "squares asked for",
        27,
    ),
}
EDGES: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "Sobel": (sobel, (0.12, 0.08, 0.05, 0.03, 0.02, 0.01)),
    "Canny": (canny, (3, 2, 1.5, 1)),
}


def region_rows(scenes: Sequence[Scene], method: str, setting: float, classes: int) -> list[Row]:
    """Scores of a method over all pictures: mIoU and foreground IoU of the oracle, boundaries."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    binary = np.zeros((2, 2), dtype=np.int64)
    boundary = np.zeros(4, dtype=np.int64)
    region_count = 0
    for scene in scenes:
        cut = METHODS[method].cut(scene.image, setting)
        region_count += len(np.unique(cut))
        whole = regions.oracle(cut, scene.target, VOID)
        confusion += regions.score(whole, scene.target, classes, VOID)
        target = regions.foreground(scene.target, VOID)
        binary += regions.score(regions.oracle(cut, target, VOID), target, 2, VOID)
        boundary += regions.boundary_counts(regions.edges_of(cut), scene.objects == VOID)
    return [
        Row("regions", method, setting, "regions", region_count / len(scenes)),
        Row("regions", method, setting, "miou", mean(iou(confusion))),
        Row("regions", method, setting, "foreground_iou", float(iou(binary)[1])),
        *_boundary(method, setting, boundary),
    ]


def edge_rows(scenes: Sequence[Scene], name: str, setting: float) -> list[Row]:
    """Boundary precision, recall and F of an edge detector over all pictures."""
    detect, _ = EDGES[name]
    counts = np.zeros(4, dtype=np.int64)
    for scene in scenes:
        edges = detect(scene.image, setting)
        counts += regions.boundary_counts(edges, scene.objects == VOID)
    return _boundary(name, setting, counts)


def _boundary(name: str, setting: float, counts: np.ndarray) -> list[Row]:
    precision, recall, f = regions.boundary_scores(counts)
    return [
        Row("boundaries", name, setting, "precision", precision),
        Row("boundaries", name, setting, "recall", recall),
        Row("boundaries", name, setting, "f", f),
    ]


def rule_rows(scenes: Sequence[Scene]) -> list[Row]:
    """Two grey levels as object and background: with a rule, and with the truth's help.

    The rule: the level that holds less of the picture's rim is the object.
    """
    rule = np.zeros((2, 2), dtype=np.int64)
    helped = np.zeros((2, 2), dtype=np.int64)
    for scene in scenes:
        bright = levels(scene.image, 2).astype(np.uint8)
        rim = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
        target = regions.foreground(scene.target, VOID)
        bright_object = regions.score(bright, target, 2, VOID)
        dark_object = regions.score(bright ^ 1, target, 2, VOID)
        rim_is_bright = 2 * rim.sum() > rim.size
        rule += dark_object if rim_is_bright else bright_object
        better = iou(dark_object)[1] > iou(bright_object)[1]
        helped += dark_object if better else bright_object
    return [
        Row("two levels", "rule", 2, "foreground_iou", float(iou(rule)[1])),
        Row("two levels", "better side", 2, "foreground_iou", float(iou(helped)[1])),
    ]


def rows(scenes: Sequence[Scene], classes: int) -> list[Row]:
    """Every number of this chapter."""
    labels = np.concatenate([scene.target.ravel() for scene in scenes])
    true_pixels = np.bincount(labels, minlength=256)[:classes]
    floor = mean(iou(floor_confusion(true_pixels)))
    rows = [Row("regions", "all background", 1, "miou", floor), *rule_rows(scenes)]
    for name, method in METHODS.items():
        for setting in method.settings:
            rows += region_rows(scenes, name, setting, classes)
    for name, (_, settings) in EDGES.items():
        for setting in settings:
            rows += edge_rows(scenes, name, setting)
    return rows
