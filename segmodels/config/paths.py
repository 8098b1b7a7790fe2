"""Where the files of a study lie: the one place that puts paths together."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The files of one study; the study of the project's own folder is called "".

    Args:
        here: the study's folder from the project's, "" or with a slash at its end.
        dataset: a key of its `datasets`; `params`, `code`, `facts`, `report` and `comparison` do
            without.
        project: the project's folder from the one in use.

    Example:
        >>> str(Paths("studies/camvid/", "camvid").train("fcn"))
        'studies/camvid/data/runs/camvid/fcn/train'
        >>> str(Paths(dataset="miniature").predictions("unet"))
        'data/predictions/miniature/unet'
    """

    here: str = ""
    dataset: str = ""
    project: Path = Path()

    @property
    def data(self) -> Path:
        """What DVC keeps and Git does not."""
        return self._study / "data"

    @property
    def reports(self) -> Path:
        """What Git keeps."""
        return self._study / "reports"

    @property
    def params(self) -> Path:
        return self._study / "params.yaml"

    @property
    def own(self) -> Path:
        """The user's own data set, which all studies read."""
        return self.project / "data/own" / self.dataset

    @property
    def tree(self) -> Path:
        """The VOC tree that the download stage makes."""
        return self.data / self.dataset / "VOCdevkit/VOC2012"

    @property
    def index(self) -> Path:
        return self.data / self.dataset / "index.csv"

    @property
    def test(self) -> Path:
        """The index of the test set, which nothing that trains reads."""
        return self.data / self.dataset / "test.csv"

    @property
    def statistics(self) -> Path:
        return self.data / self.dataset / "statistics.json"

    @property
    def code(self) -> Path:
        """Digests of the code that stages depend on."""
        return self.data / "code"

    @property
    def facts(self) -> Path:
        """What stages need to know of params.yaml."""
        return self.data / "facts"

    @property
    def links(self) -> Path:
        """Links to the files that runs start from."""
        return self.data / "links"

    @property
    def starts(self) -> Path:
        """The content of these files, by its hash."""
        return self.data / "starts"

    def run(self, name: str) -> Path:
        """What was trained and counted of one run."""
        return self.data / "runs" / self.dataset / name

    def train(self, name: str) -> Path:
        """Weights, history and provenance of one run."""
        return self.run(name) / "train"

    def predictions(self, name: str = "") -> Path:
        """Masks of one run; without a name, the folder of all."""
        return self.data / "predictions" / self.dataset / name

    @property
    def costs(self) -> Path:
        """What predictions cost, a file for each run."""
        return self.data / "costs" / self.dataset

    @property
    def page(self) -> Path:
        return self.data / "page/index.html"

    @property
    def live(self) -> Path:
        """Curves of the training that runs; no stage makes them."""
        return self.data / "live"

    @property
    def examples(self) -> Path:
        """Images with ground truth and prediction, a sheet for each run."""
        return self.data / "examples"

    def report(self, name: str = "") -> Path:
        """Scores of one run; without a name, the folder of all."""
        return self.reports / "models" / name

    @property
    def comparison(self) -> Path:
        """Tables and figures of all runs."""
        return self.reports / "comparison"

    @property
    def headline(self) -> Path:
        """One run's results, under names that stay."""
        return self.reports / "headline"

    @property
    def _study(self) -> Path:
        return self.project / self.here
