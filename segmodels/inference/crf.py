"""Fully connected CRF: every pixel asks every other for its label, near and alike ones loudest.

Energy, mean field and its parallel update: Krähenbühl and Koltun, "Efficient Inference in Fully
Connected CRFs with Gaussian Edge Potentials", arXiv 1210.5644, sections 2 and 3, with Potts
compatibility. The filter is the permutohedral lattice of Adams, Baek and Davis, "Fast
High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010, section 3: splat,
blur and slice are three kinds of sparse matrices, built once for a picture. `exact` is the same
kernel without the lattice, in memory that grows with the square of the picture.

Conventions: maps are pixels by channels, (H W, C) float32, row-major; features are in units of
their standard deviation.

Differs from the paper: as in the authors' released code, kernels are normalised symmetrically,
D^-1/2 K D^-1/2 (weights of other programs then mean the same), and a pixel asks itself too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.config.schema import CRF

Kernel = Callable[[Tensor], Tensor]  # (H W, C) -> (H W, C): a normalised Gaussian filter

# Classes that are filtered at a time: for all 21 the values at the lattice points of a photograph
# neither fit into a cache nor into memory that is reused, which doubles the time.
AT_ONCE = 8

# For photographs of VOC's size, from a re-implementation: docs/reference/test-time.md.
PHOTOGRAPHS = CRF(
    iterations=10,
    position_sigma=1,
    position_weight=3,
    bilateral_sigma_xy=67,
    bilateral_sigma_rgb=3,
    bilateral_weight=4,
)


@torch.inference_mode()
def refine(
    logits: Tensor,
    image: Tensor,
    *,
    iterations: int,
    position_sigma: float,
    position_weight: float,
    bilateral_sigma_xy: float,
    bilateral_sigma_rgb: float,
    bilateral_weight: float,
) -> Tensor:
    """Marginals of the CRF whose unary potentials are a network's.

    Args:
        logits: (C, H, W) float32.
        image: (3, H, W) uint8, the same size.
        position_sigma, bilateral_sigma_xy: standard deviations in pixels.
        bilateral_sigma_rgb: standard deviation in grey levels, 0..255.
        position_weight, bilateral_weight: what it costs two pixels to differ, times the kernel.
    Returns:
        (C, H, W) float32, 0..1, sum 1 over the classes, on the device of the logits.
    """
    place = coordinates(*logits.shape[-2:]).to(logits.device)
    colour = image.flatten(1).t().to(place)
    alike = torch.cat([place / bilateral_sigma_xy, colour / bilateral_sigma_rgb], 1)
    kernels = [
        (position_weight, lattice(place / position_sigma)),
        (bilateral_weight, lattice(alike)),
    ]
    marginals = mean_field(logits.flatten(1).t().contiguous(), kernels, iterations)
    return marginals.t().reshape(logits.shape)


def coordinates(height: int, width: int) -> Tensor:
    """Row and column of every pixel, (H W, 2) float32."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).float()


def mean_field(logits: Tensor, kernels: list[tuple[float, Kernel]], iterations: int) -> Tensor:
    """Marginals after `iterations` parallel updates, beginning at the network's probabilities.

    Args:
        logits: (H W, C).
        kernels: weight and filter of each pairwise term.
    Returns:
        (H W, C), 0..1, sum 1 over the classes.
    Reference:
        arXiv 1210.5644, algorithm 1. With Potts compatibility, a label costs the weight of all
        who have another; what they weigh together is the same for every label and drops out.
    """
    unary = logits.log_softmax(1)
    marginals = unary.exp()
    for _ in range(iterations):
        agreement = sum(weight * kernel(marginals) for weight, kernel in kernels)
        marginals = (unary + agreement).softmax(1)
    return marginals


def exact(features: Tensor) -> Kernel:
    """The Gaussian kernel of features (H W, d), every pair of pixels by itself."""
    # Not by way of products of features: their rounding would be as large as near distances.
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return _normalized(distance.square().div(-2).exp().matmul, features)


def lattice(features: Tensor) -> Kernel:
    """The Gaussian kernel of features (H W, d) by way of their permutohedral lattice."""
    codes, weights, steps = _simplices(features)
    vertices = _vertices(codes, steps)
    slice_ = _Sparse.from_rows(torch.searchsorted(vertices, codes), weights)
    splat = slice_.transposed(len(vertices))
    blurs = [_blur(vertices, step) for step in steps]

    def filtered(values: Tensor) -> Tensor:
        if values.shape[1] > AT_ONCE:
            return torch.cat([filtered(part) for part in values.split(AT_ONCE, 1)], 1)
        values = splat(values)
        for blur in blurs:
            values = blur(values)
        return slice_(values)

    return _normalized(filtered, features)


def _normalized(kernel: Kernel, features: Tensor) -> Kernel:
    """D^-1/2 K D^-1/2, where D holds the sums of K's rows."""
    scale = kernel(features.new_ones(len(features), 1)).rsqrt()
    return lambda values: scale * kernel(scale * values)


@dataclass(frozen=True)
class _Sparse:
    """A sparse matrix, row by row; embedding_bag is 2 to 3 times as fast as torch's CSR."""

    columns: Tensor  # (entries,) int32
    entries: Tensor  # (entries,) float32
    starts: Tensor  # (rows,) int32, where each row begins

    @classmethod
    def from_rows(cls, columns: Tensor, entries: Tensor) -> "_Sparse":
        """Of equally many entries in each row: columns and entries (rows, k)."""
        starts = torch.arange(0, columns.numel(), columns.shape[1], device=columns.device)
        return cls(columns.flatten().int(), entries.flatten(), starts.int())

    def transposed(self, rows: int) -> "_Sparse":
        """The transpose of a matrix of `rows` columns and equally many entries in each row."""
        order = self.columns.argsort(stable=True)
        columns = order // (len(self.columns) // len(self.starts))
        counts = self.columns.bincount(minlength=rows)
        return _Sparse(columns.int(), self.entries[order], (counts.cumsum(0) - counts).int())

    def __call__(self, values: Tensor) -> Tensor:
        return F.embedding_bag(
            self.columns, values, self.starts, mode="sum", per_sample_weights=self.entries
        )


def _simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which lattice points surround each pixel.

    Returns:
        code of the d + 1 vertices of each pixel's simplex, (H W, d + 1) int64; their barycentric
        weights, same shape; and what a step along each of the d + 1 directions adds to a code.
    """
    count = features.shape[1] + 1
    place = _elevated(features)
    origin = place.round()
    surplus = origin.sum(1, keepdim=True).long()
    # The rank of each coordinate's remainder names the simplex around the nearest origin, which
    # is moved back onto the plane where coordinates sum to 0: figure 4 of the paper.
    rank = (origin - place).argsort(dim=1, stable=True).argsort(1) + surplus
    wrapped = (rank < 0).long() - (rank >= count).long()
    rank, origin = rank + wrapped * count, origin + wrapped
    remainder = (place - origin).sort(1, descending=True).values
    steps_down = (remainder[:, :-1] - remainder[:, 1:]).flip(1)
    weights = torch.cat([1 - steps_down.sum(1, keepdim=True), steps_down], 1)

    origin = origin.long() * count
    radix = _radix(origin, count)
    corners = [origin + k - count * (rank >= count - k) for k in range(count)]
    codes = torch.stack([(corner * radix).sum(1) for corner in corners], 1)
    return codes, weights, radix.sum() - count * radix


def _elevated(features: Tensor) -> Tensor:
    """Features as points of the plane of d + 1 coordinates with sum 0, in units of d + 1.

    Scaled so that splat, blur and slice together have a standard deviation of 1 (section 3.1).
    """
    d = features.shape[1]
    basis = torch.ones(d, d + 1).tril(0)
    k = torch.arange(d)
    basis[k, k + 1] = -(k + 1.0)
    basis /= ((k + 1.0) * (k + 2.0)).sqrt()[:, None]
    return features @ (basis * math.sqrt(2 / 3)).to(features)


def _radix(origin: Tensor, count: int) -> Tensor:
    """Weights of coordinates that give each lattice point, neighbours included, its own code."""
    # The last coordinate follows from the others. Around an origin lie corners, points between
    # corners, and the neighbours of those, each less than `count` further out.
    extents = (origin.amax(0) - origin.amin(0) + 6 * count + 1)[:-1]
    if extents.double().prod() > 2.0**62:
        raise ValueError(
            "a standard deviation of the CRF is too small: the lattice has more points "
            f"than int64 can number ({' x '.join(str(int(n)) for n in extents)})"
        )
    return torch.cat([extents.new_ones(1), extents[:-1].cumprod(0), extents.new_zeros(1)])


def _vertices(codes: Tensor, steps: Tensor) -> Tensor:
    """All corners of simplices and every point with two of them for neighbours, sorted.

    The authors keep the corners alone, and then what two blurs in turn would carry from corner to
    corner is lost on the way; with these points the error of marginals falls by a third to a half.
    """
    corners = codes.unique()
    around = torch.cat([corners + step for step in (*steps, *-steps)])
    points, counts = around.unique(return_counts=True)
    return torch.cat([corners, points[counts > 1]]).unique()


def _blur(vertices: Tensor, step: Tensor) -> _Sparse:
    """Each lattice point plus half of its two neighbours in one direction, where there are any."""
    index = torch.arange(len(vertices), device=vertices.device)
    after = torch.searchsorted(vertices, vertices + step).clamp_max(len(vertices) - 1)
    here = index[vertices[after] == vertices + step]
    there = after[here]
    columns = index.repeat(3, 1)
    entries = torch.tensor([1.0, 0, 0], device=index.device)[:, None].repeat(1, len(index))
    columns[1, here], entries[1, here] = there, 0.5
    columns[2, there], entries[2, there] = here, 0.5
    return _Sparse.from_rows(columns.t(), entries.t())
