"""A replayed scenario as a picture: the loads over time, and below them imbalance, moves and what is on nobody.

matplotlib is imported only here and only when a chart is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fingerv7.cli.errors import CliError
from fingerv7.core.planner.model import BALANCING
from fingerv7.core.simulation import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: Final = (".svg", ".png")
_FEW: Final = 16
"""So many workers get a line of their own; of more, only the band is readable."""
_LABELS: Final = 12
"""So many events are named in the picture; of more, only their times are shown."""
_LABEL_LENGTH: Final = 40
_STACKED: Final = 4
"""Events of one moment that are named beside each other."""
_REPAIRS, _BALANCING, _UNPLACED, _INK, _BAND = "#0072b2", "#e69f00", "#cc3311", "#222222", "#9ecae1"


def check(file: str) -> None:
    """Before the work is done: whether a chart can be drawn there. Raises CliError."""
    if Path(file).suffix.lower() not in FORMATS:
        raise CliError(f"--chart {file} ends neither in .svg nor in .png")
    if not Path(file).absolute().parent.is_dir():
        raise CliError(f"--chart {file}: there is no directory {Path(file).absolute().parent}")
    try:
        import matplotlib  # noqa: F401, ICN001
    except ImportError as error:
        raise CliError(
            "matplotlib is not installed, which --chart needs; install it with pip install 'fingerv7-operator[chart]'"
        ) from error


def draw(steps: Sequence[Step], file: str, *, title: str, until_ms: int | None) -> None:
    """Raises CliError where the file cannot be written."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: small, searchable
    mpl.rcParams["svg.hashsalt"] = "fingerv7"  # the same scenario gives the same file
    mpl.rcParams["font.size"] = 9

    times, unit = _axis(steps, until_ms)
    figure, axes = plt.subplots(
        3, 1, figsize=(11, 7.6), sharex=True, height_ratios=(5, 1.6, 1.8), constrained_layout=True
    )
    loads, imbalance, moves = axes
    _loads(loads, steps, times)
    _imbalance(imbalance, steps, times)
    _moves(moves, steps, times)
    _events(loads, axes, steps, times)
    moves.set_xlabel(f"time ({unit})")
    loads.set_xlim(times[0], times[-1])
    for each in axes:
        each.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    try:
        metadata: dict[str, Any] = {"Date": None} if file.lower().endswith(".svg") else {}
        figure.savefig(file, dpi=130, metadata=metadata)
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        plt.close(figure)


def _axis(steps: Sequence[Step], until_ms: int | None) -> tuple[list[float], str]:
    """The time of each step and of the end, which leaves the last step some room."""
    last = steps[-1].at_ms
    end = max(until_ms or 0, last + max(last // 20, 60_000))
    unit, length = next(
        (unit, length) for unit, length in (("h", 3_600_000), ("min", 60_000), ("s", 1000)) if end >= 3 * length
    )
    return [step.at_ms / length for step in steps] + [end / length], unit


def _loads(axes: Axes, steps: Sequence[Step], times: Sequence[float]) -> None:
    low, mean, high = ([how(list(step.open.values()) or [0.0]) for step in steps] for how in (min, _mean, max))
    axes.fill_between(
        times, _held(low), _held(high), step="post", color=_BAND, alpha=0.45, linewidth=0, label="min to max"
    )
    names = sorted({name for step in steps for name in step.loads})
    if len(names) > _FEW:
        quarters = [_quarters(list(step.open.values())) for step in steps]
        axes.fill_between(
            times, _held([low for low, _ in quarters]), _held([high for _, high in quarters]),
            step="post", color=_BAND, alpha=0.9, linewidth=0, label="half of the workers",
        )  # fmt: skip
    if len(names) <= _FEW:
        from matplotlib import colormaps

        for n, name in enumerate(names):
            series = [step.loads.get(name, float("nan")) for step in steps]
            colour = colormaps["tab20"](n % 20)
            axes.plot(times, _held(series), drawstyle="steps-post", linewidth=1.3, color=colour, label=name)
    axes.plot(
        times, _held(mean), drawstyle="steps-post", linewidth=2.2, color=_INK, linestyle=(0, (5, 2)), label="mean"
    )
    top = max(100.0, *high)
    axes.axhline(100, color=_UNPLACED, linewidth=0.9)
    axes.set_ylim(0, top * 1.04)
    axes.set_ylabel("load of a worker (%)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=8, borderaxespad=0)


def _imbalance(axes: Axes, steps: Sequence[Step], times: Sequence[float]) -> None:
    values = [step.imbalance_after_percent for step in steps]
    axes.plot(times, _held(values), drawstyle="steps-post", color=_INK, linewidth=1.5)
    before = [step.imbalance_before_percent for step in steps]
    axes.vlines(times[:-1], values, before, color=_BALANCING, linewidth=1.5, label="before the moves")
    axes.set_ylim(0, max(5.0, *values, *before) * 1.15)
    axes.set_ylabel("imbalance\n(points)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=8, borderaxespad=0)


def _moves(axes: Axes, steps: Sequence[Step], times: Sequence[float]) -> None:
    """The first step placed what nobody had: how things were, and no event."""
    width = (times[-1] - times[0]) / 150
    at = times[1:-1]
    happened = steps[1:]
    balancing = [sum(move.trigger in BALANCING for move in step.moves) for step in happened]
    repairs = [len(step.moves) - moved for step, moved in zip(happened, balancing, strict=True)]
    axes.bar(at, repairs, width, color=_REPAIRS, label="repairs")
    axes.bar(at, balancing, width, bottom=repairs, color=_BALANCING, label="for balance")
    unplaced = [len(step.unplaced) for step in steps]
    if any(unplaced):
        axes.plot(
            times, _held([float(n) for n in unplaced]), drawstyle="steps-post", color=_UNPLACED, label="on no worker"
        )
    highest = max([a + b for a, b in zip(repairs, balancing, strict=True)] + unplaced, default=0)
    axes.set_ylim(0, max(1, highest) * 1.12)
    axes.set_ylabel("streams\nmoved")
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, fontsize=8, borderaxespad=0)


def _events(top: Axes, axes: Sequence[Axes], steps: Sequence[Step], times: Sequence[float]) -> None:
    happened = [(step, time) for step, time in zip(steps, times, strict=False) if step.events]
    for _, time in happened:
        for each in axes:
            each.axvline(time, color="#888888", linewidth=0.7, linestyle=(0, (2, 3)), zorder=0.5)
    if len(happened) > _LABELS:
        return
    for step, time in happened:
        shown = "\n".join(
            text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 1]}…" for text in step.events[:_STACKED]
        )
        top.annotate(
            shown, (time, 0), xytext=(3, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, ha="left", va="bottom", fontsize=7.5, color="#333333",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip


def _held(values: Sequence[float]) -> list[float]:
    """A step's value holds until the next one; the last until the end."""
    return [*values, values[-1]]


def _quarters(values: Sequence[float]) -> tuple[float, float]:
    """Between these two are the middle half of the values."""
    ordered = sorted(values) or [0.0]
    return ordered[len(ordered) // 4], ordered[(3 * len(ordered) - 1) // 4]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
