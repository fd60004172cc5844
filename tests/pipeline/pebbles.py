"""Gather pebbles, weigh them, sort the colours by weight: a study with every feature that a real one needs."""

from pathlib import Path

import numpy as np
from pandas import DataFrame
from pydantic import BaseModel

from mints.pipeline.runner import Pipeline
from mints.pipeline.step import step

COLOURS = ["grey", "white"]


class Scale(BaseModel):
    offset: float = 0.0
    unit: str = "g"


class Beach(BaseModel):
    profile: str = "north_shore"
    results: Path = Path("results")
    seed: int = 0
    pebbles: int = 12
    scale: Scale = Scale()
    heaviest_first: bool = True
    batch: int = 3
    pictures: bool = False
    tide_table: Path | None = None


@step("gather", makes=["beach/{colour}.npz"], reads=["seed", "pebbles", "tide_table"])
def gather(run):
    """Pick up pebbles of every colour."""
    for colour in COLOURS:
        run.save(f"beach/{colour}.npz", {"diameter": run.rng(colour).uniform(1, 5, size=run.config.pebbles)})


def weigh_some(shard):
    return {"weight": shard**3}


@step(
    "weigh",
    needs=["beach/{colour}.npz"],
    makes=["tables/weights.csv"],
    reads=["scale.offset"],
    without_effect=["batch"],
    aliases=["weighing"],
)
def weigh(run):
    """Weigh every pebble."""
    columns = {}
    for colour in COLOURS:
        diameters = run.load(f"beach/{colour}.npz")["diameter"]
        shards = [diameters[start : start + run.config.batch] for start in range(0, len(diameters), run.config.batch)]
        weighed = [result["weight"] for result in run.map(weigh_some, shards, label=colour)]
        columns[colour] = np.concatenate(weighed) + run.config.scale.offset
    run.fact("pebbles", sum(len(column) for column in columns.values()))
    run.warn("the scale is old")
    run.save("tables/weights.csv", DataFrame(columns))


@step("sort", needs=["tables/weights.csv"], makes=["order.json", "lightest.txt"], reads=["heaviest_first"])
def sort(run):
    """Order the colours by mean weight."""
    means = run.load("tables/weights.csv").mean().sort_values(ascending=not run.config.heaviest_first)
    run.save("order.json", means.to_dict())
    with run.create("lightest.txt") as path:
        path.write_text(f"{means.idxmin()}\n", encoding="utf-8")


@step("draw", needs=["order.json"], makes=["figures/order.png"], when=lambda config: config.pictures)
def draw(run):
    """Draw the order."""
    from matplotlib.figure import Figure

    order = run.load("order.json")
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().bar(list(order), list(order.values()))
    run.figure("order", figure)


@step("tell", needs=["order.json"], may_need=["figures/order.png"], makes=["story.json"])
def tell(run):
    """Tell what was found."""
    run.save("story.json", {"order": list(run.load("order.json")), "with_picture": run.has("figures/order.png")})


STEPS = [gather, weigh, sort, draw, tell]


def pipeline(root, reporter=None, steps=STEPS, **settings):
    return Pipeline(
        steps, Beach(results=root, **settings), root, expand={"colour": COLOURS}, version="1.0", reporter=reporter
    )
