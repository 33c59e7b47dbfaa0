"""Z → μμ: simulated events in ROOT files, the muon pairs in them, their mass as a histogram, and a fit of its peak.

The notebooks beside this file do the same analysis in the notebook itself and on other machines. All of them use these
functions, and each file is counted by itself: whoever counts it, wherever, the sum is the same to the last bin.

    python -m zmumu FILE.root COUNTS.json       counts one file, as a job of the batch pool does
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

MASS, WIDTH = 91.1876, 2.4952
"""Of the Z, in GeV."""
MUON_MASS = 0.10566
EDGES = np.linspace(60, 120, 121)
"""Edges of the bins, in GeV."""
FILES = 8
EVENTS = 25_000
"""Events of one file."""
SEED = 20121204

FOLDER = "zmumu-example"
"""In the home folder: machines of the batch pool read the files there."""

BRANCHES = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge")


# -- simulation -------------------------------------------------------------------------------------------------------


def draw_masses(rng: np.random.Generator, count: int) -> Numbers:
    """Breit-Wigner masses between 60 and 120 GeV, by inverting its integral."""
    low, high = (np.arctan(2 * (edge - MASS) / WIDTH) for edge in (60, 120))
    return MASS + WIDTH / 2 * np.tan(rng.uniform(low, high, count))


def draw_muons(seed: int, events: int = EVENTS) -> dict[str, Any]:
    """Both muons of each event, as a detector measures them: pt, eta, phi and charge, each of shape (events, 2).

    The decay is isotropic where the Z rests. Both muons are then boosted into the laboratory, and the detector measures
    each transverse momentum to 1.2 %.
    """
    rng = np.random.default_rng([SEED, seed])
    mass = draw_masses(rng, events)
    z_pt = rng.exponential(15, events)
    z_phi = rng.uniform(-np.pi, np.pi, events)
    z_rapidity = rng.normal(0, 1.2, events)
    transverse_mass = np.hypot(mass, z_pt)
    z_momentum = np.stack(
        [z_pt * np.cos(z_phi), z_pt * np.sin(z_phi), transverse_mass * np.sinh(z_rapidity)], axis=-1
    )
    z_energy = transverse_mass * np.cosh(z_rapidity)

    # Back to back in the rest frame of the Z ...
    cos_theta = rng.uniform(-1, 1, events)
    sin_theta = np.sqrt(1 - cos_theta**2)
    phi = rng.uniform(-np.pi, np.pi, events)
    direction = np.stack([sin_theta * np.cos(phi), sin_theta * np.sin(phi), cos_theta], axis=-1)
    energy = mass / 2
    momentum = np.sqrt(energy**2 - MUON_MASS**2)[:, None] * direction

    # ... and in the laboratory
    gamma = z_energy / mass
    beta = z_momentum / z_energy[:, None]

    def boost(p: Numbers) -> Numbers:
        along = np.sum(beta * p, axis=-1)
        factor = gamma**2 / (1 + gamma) * along + gamma * energy
        return p + factor[:, None] * beta

    px, py, pz = np.moveaxis(np.stack([boost(momentum), boost(-momentum)], axis=1), -1, 0)
    true_pt = np.hypot(px, py)
    return {
        "pt": true_pt * rng.normal(1, 0.012, true_pt.shape),
        "eta": np.arcsinh(pz / true_pt),
        "phi": np.arctan2(py, px),
        "charge": np.where(rng.random(events) < 0.5, 1, -1)[:, None] * np.array([1, -1]),
    }


def write_file(path: str | Path, seed: int, events: int = EVENTS) -> str:
    """Writes the events of one seed into a ROOT file; the same seed always gives the same events. Returns its path.

    The detector sees muons above 20 GeV up to |η| = 2.4, so an event holds none, one or two of them.
    """
    import awkward as ak
    import uproot

    muons = ak.from_regular(ak.zip(draw_muons(seed, events)))
    muons = muons[(muons.pt > 20) & (abs(muons.eta) < 2.4)]
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Muon": "var * {pt: float64, eta: float64, phi: float64, charge: int64}"})
        file["Events"].extend({"Muon": muons})
    return str(path)


def folder(name: str) -> Path:
    """A folder for the files of one notebook, in the user's home folder."""
    return Path.home() / FOLDER / name


def make_files(name: str, files: int = FILES, events: int = EVENTS) -> list[str]:
    """Simulates the files of one notebook, and returns their paths. What the last run of it left is removed first."""
    clean_up(name)
    place = folder(name)
    place.mkdir(parents=True)
    return [write_file(place / f"events-{seed}.root", seed, events) for seed in range(files)]


def clean_up(name: str) -> None:
    """Removes the files of one notebook, and the folder of all of them when it is empty."""
    place = folder(name)
    if place.exists():
        shutil.rmtree(place)
    if place.parent.exists() and not any(place.parent.iterdir()):
        place.parent.rmdir()


# -- analysis ---------------------------------------------------------------------------------------------------------


def count(path: str | Path) -> Counts:
    """The work: events of one ROOT file with two muons of opposite charge, counted in bins of their invariant mass."""
    import awkward as ak
    import hist
    import uproot

    with uproot.open(path) as file:
        events = file["Events"].arrays(list(BRANCHES))
    pairs = events[(ak.num(events.Muon_pt) == 2) & (ak.sum(events.Muon_charge, axis=1) == 0)]
    pt1, pt2 = pairs.Muon_pt[:, 0], pairs.Muon_pt[:, 1]
    delta_eta = pairs.Muon_eta[:, 0] - pairs.Muon_eta[:, 1]
    delta_phi = pairs.Muon_phi[:, 0] - pairs.Muon_phi[:, 1]
    mass = np.sqrt(2 * pt1 * pt2 * (np.cosh(delta_eta) - np.cos(delta_phi)))
    spectrum = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Int64()).fill(mass)
    return np.asarray(spectrum.values(), dtype=np.int64)


def total(counts: Iterable[Counts]) -> Counts:
    """The sum over files. Whole numbers: in whatever order the files come, it is the same."""
    return np.sum(list(counts), axis=0, dtype=np.int64)


def read_counts(paths: Iterable[str | Path]) -> list[Counts]:
    """What `python -m zmumu` wrote."""
    return [np.asarray(json.loads(Path(path).read_text(encoding="utf-8")), dtype=np.int64) for path in paths]


@dataclass(frozen=True)
class Peak:
    """The fitted peak, in GeV, with its uncertainties."""

    mass: float
    mass_error: float
    resolution: float
    resolution_error: float
    events: float

    def __str__(self) -> str:
        return (
            f"Z mass {self.mass:.3f} ± {self.mass_error:.3f} GeV,"
            f" resolution of the detector {self.resolution:.3f} ± {self.resolution_error:.3f} GeV"
        )


def fit(counts: Counts, low: float = 80, high: float = 102) -> Peak:
    """Maximum likelihood fit of a Breit-Wigner curve, smeared by the detector, between two masses in GeV."""
    from iminuit import Minuit
    from iminuit.cost import ExtendedBinnedNLL

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def below(edges: Numbers, events: float, mass: float, resolution: float) -> Numbers:
        """Events expected below each edge: the curve's own integral, averaged over what the detector makes of it."""
        shifted = edges[:, None] - mass - resolution * nodes[None, :]
        return np.asarray(events * (0.5 + np.arctan(2 * shifted / WIDTH) / np.pi) @ weights)

    first, last = np.searchsorted(EDGES, [low, high])
    edges, inside = EDGES[first : last + 1], counts[first:last]
    minuit = Minuit(
        ExtendedBinnedNLL(inside, edges, below),
        events=1.2 * float(inside.sum()),
        mass=float(EDGES[np.argmax(counts)]),
        resolution=1.0,
    )
    minuit.limits["events", "resolution"] = (1e-3, None)
    minuit.migrad()
    if not minuit.valid:
        raise ValueError(f"The fit found no peak between {low} and {high} GeV in {int(inside.sum())} pairs.")
    values, errors = minuit.values, minuit.errors
    return Peak(values["mass"], errors["mass"], values["resolution"], errors["resolution"], values["events"])


def show(counts: Counts, title: str = "") -> Peak:
    """Draws the counts, fits the peak, prints and returns it."""
    import matplotlib.pyplot as plt
    import mplhep

    peak = fit(counts)
    _, axes = plt.subplots(figsize=(8, 4.5))
    mplhep.histplot(
        (counts, EDGES), ax=axes, histtype="fill", color="#9ecae1", edgecolor="#08519c", label="Events"
    )
    axes.axvline(peak.mass, color="#cb181d", linestyle="--", label=f"Peak at {peak.mass:.2f} GeV")
    axes.set(
        title=title,
        xlim=(60, 120),
        xlabel="Invariant mass of the muon pair [GeV]",
        ylabel="Pairs per 0.5 GeV",
    )
    axes.legend()
    plt.show()
    print(f"{counts.sum()} pairs of opposite charge. {peak}")
    return peak


# -- times beside each other ------------------------------------------------------------------------------------------


class Times:
    """How long each way took, and what it counted."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[float, float, Counts]] = {}
        self._begin = self._ready = time.perf_counter()

    def start(self) -> None:
        """A way begins."""
        self._begin = self._ready = time.perf_counter()

    def ready(self) -> None:
        """What the way needs has been started; from here on it counts."""
        self._ready = time.perf_counter()

    def stop(self, way: str, counts: Counts) -> None:
        """A way has its result."""
        now = time.perf_counter()
        self.rows[way] = (self._ready - self._begin, now - self._ready, counts)
        print(f"{way}: {now - self._begin:.1f} s")

    def table(self) -> str:
        """All ways beside each other, in Markdown."""
        first = next(iter(self.rows.values()))[2]
        lines = [
            "| way | to start it | to count | together | same as the first, bin by bin |",
            "|---|---|---|---|---|",
        ]
        for way, (start_s, count_s, counts) in self.rows.items():
            same = "yes" if np.array_equal(counts, first) else "**no**"
            lines.append(
                f"| {way} | {start_s:.1f} s | {count_s:.1f} s | {start_s + count_s:.1f} s | {same} |"
            )
        return "\n".join(lines)

    def show(self) -> Peak:
        """Draws the times beside each other, then the peak. Raises ValueError where the ways do not agree."""
        import matplotlib.pyplot as plt

        results = {way: counts for way, (_, _, counts) in self.rows.items()}
        first = next(iter(results.values()))
        different = [way for way, counts in results.items() if not np.array_equal(counts, first)]
        if different:
            raise ValueError(f"These counted something else than the first: {', '.join(different)}.")
        _, axes = plt.subplots(figsize=(8, 0.5 + 0.45 * len(self.rows)))
        ways = list(self.rows)
        start_s = [row[0] for row in self.rows.values()]
        axes.barh(ways, start_s, color="#c6dbef", label="to start it")
        axes.barh(
            ways, [row[1] for row in self.rows.values()], left=start_s, color="#08519c", label="to count"
        )
        axes.invert_yaxis()
        axes.set_xlabel("Seconds")
        axes.legend()
        plt.show()
        return show(first, f"{len(results)} ways, one result")


def main(arguments: list[str]) -> int:
    """Counts one file into another."""
    if len(arguments) != 2:
        sys.stderr.write("Say which file to count, and where to: python -m zmumu FILE.root COUNTS.json\n")
        return 2
    source, target = arguments
    Path(target).write_text(json.dumps(count(source).tolist()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
